// Vectors of floats, as wide as the variant's registers, for the encoders. A lane is a block and no operation
// crosses lanes, so the width does not change the bits (docs/decisions/0001-one-vector-lane-per-group.md).
#pragma once
#include <cstddef>
#include <utility>

#include "simd/vectors.hpp"

namespace zeropoint {
namespace {

ZEROPOINT_INLINE Ints splat_int(std::int32_t value) { return value - Ints{}; }
ZEROPOINT_INLINE Floats bits_to_floats(Ints bits) { return (Floats)bits; }
ZEROPOINT_INLINE Ints floats_to_bits(Floats values) { return (Ints)values; }
ZEROPOINT_INLINE Floats select(Ints mask, Floats yes, Floats no) { return mask ? yes : no; }
ZEROPOINT_INLINE Floats absolute(Floats a) { return bits_to_floats(floats_to_bits(a) & 0x7fffffff); }

// a < b ? a : b and a > b ? a : b in one instruction; compilers generate two for the ternary.
ZEROPOINT_INLINE Floats smaller(Floats a, Floats b) {
#if defined(ZEROPOINT_AVX512)
    return (Floats)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (Floats)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (Floats)_mm_min_ps((__m128)a, (__m128)b);
#else
    return a < b ? a : b;
#endif
}

ZEROPOINT_INLINE Floats larger(Floats a, Floats b) {
#if defined(ZEROPOINT_AVX512)
    return (Floats)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (Floats)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (Floats)_mm_max_ps((__m128)a, (__m128)b);
#else
    return a > b ? a : b;
#endif
}

// Rounded correctly, as IEEE 754 requires: the same bits in every variant.
ZEROPOINT_INLINE Floats square_root(Floats a) {
#if defined(ZEROPOINT_AVX512)
    return (Floats)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX2__)
    return (Floats)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__)
    return (Floats)_mm_sqrt_ps((__m128)a);
#else
    for (int i = 0; i < lanes; ++i) a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
}

ZEROPOINT_INLINE Floats clamp(Floats a, float low, float high) {
    return smaller(larger(a, splat(low)), splat(high));
}

// Adding 1.5 · 2^23 leaves no bits for a fraction: rounds |a| < 2^22 to the nearest integer, ties to even.
constexpr float rounder = 12582912.0f;
ZEROPOINT_INLINE Floats round_even(Floats a) { return (a + rounder) - rounder; }

// a − round_even(a).
ZEROPOINT_INLINE Floats fraction(Floats a) {
#if defined(ZEROPOINT_AVX512)
    return (Floats)_mm512_maskz_reduce_ps(0xffff, (__m512)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    return a - round_even(a);
#endif
}

// Whether a mask is set in all lanes.
ZEROPOINT_INLINE bool all(Ints mask) {
#if defined(ZEROPOINT_AVX512)
    return _mm512_movepi32_mask((__m512i)mask) == 0xffff;
#elif defined(__AVX2__)
    return _mm256_movemask_ps((__m256)mask) == 0xff;
#elif defined(__SSE2__)
    return _mm_movemask_ps((__m128)mask) == 0xf;
#else
    for (int i = 0; i < lanes; ++i)
        if (!mask[i]) return false;
    return true;
#endif
}

// 1 / a, and 0 where a is 0.
ZEROPOINT_INLINE Floats inverse(Floats a) { return select(a != 0.0f, 1.0f / a, splat(0)); }

ZEROPOINT_INLINE Floats load(const float* from) { return load<Floats>(from); }

// table[index] in each lane, for a table of 2, 4 or 8 entries and index < Count.
template <int Count>
ZEROPOINT_INLINE Floats table_lookup(const float (&table)[Count], Ints index) {
    static_assert(Count <= 8);
#if defined(ZEROPOINT_AVX512)
    return (Floats)_mm512_permutexvar_ps((__m512i)index, _mm512_maskz_loadu_ps((1 << Count) - 1, table));
#elif defined(__AVX2__)
    float all[8] = {};
    for (int i = 0; i < Count; ++i) all[i] = table[i];
    return (Floats)_mm256_permutevar8x32_ps(_mm256_loadu_ps(all), (__m256i)index);
#else
    Floats result = splat(table[0]);
    for (int i = 1; i < Count; ++i) result = select(index == i, splat(table[i]), result);
    return result;
#endif
}

#if __has_builtin(__builtin_shufflevector)
// One step of a transposition: exchanges the off-diagonal blocks of size `Step`.
template <int Step, std::size_t... I>
ZEROPOINT_INLINE void exchange(Floats& a, Floats& b, std::index_sequence<I...>) {
    const Floats first = __builtin_shufflevector(a, b, (I & Step ? int(I) + lanes - Step : int(I))...);
    b = __builtin_shufflevector(a, b, (I & Step ? int(I) + lanes : int(I) + Step)...);
    a = first;
}

template <int Step = 1>
ZEROPOINT_INLINE void transpose(Floats (&rows)[lanes]) {
    for (int i = 0; i < lanes; ++i)
        if (!(i & Step)) exchange<Step>(rows[i], rows[i | Step], std::make_index_sequence<lanes>{});
    if constexpr (2 * Step < lanes) transpose<2 * Step>(rows);
}
#else
inline void transpose(Floats (&rows)[lanes]) {
    for (int i = 0; i < lanes; ++i)
        for (int k = 0; k < i; ++k) {
            const float value = rows[i][k];
            rows[i][k] = rows[k][i];
            rows[k][i] = value;
        }
}
#endif

// Rows of `Size` floats, a multiple of `lanes`, into columns: lane i of column k is weight k of row i.
template <int Size>
ZEROPOINT_INLINE void load_columns(const float* const (&rows)[lanes], Floats (&columns)[Size]) {
    static_assert(Size % lanes == 0);
    for (int k = 0; k < Size; k += lanes) {
        Floats square[lanes];
        for (int i = 0; i < lanes; ++i) square[i] = load(rows[i] + k);
        transpose(square);
        for (int i = 0; i < lanes; ++i) columns[k + i] = square[i];
    }
}

}  // namespace
}  // namespace zeropoint
