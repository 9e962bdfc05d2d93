// Vectors with one 32-bit lane per row of weights, as wide as the variant's registers, for the products, and
// the operations on them that compilers do not reliably generate. Included by variants only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "codecs/variants/half.hpp"
#include "simd/vectors.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

typedef std::uint32_t Words __attribute__((vector_size(4 * lanes)));   // the same, shifted in zeros
typedef std::uint8_t Bytes __attribute__((vector_size(4 * lanes)));    // four to a lane
typedef std::int16_t Shorts __attribute__((vector_size(4 * lanes)));   // two to a lane
typedef std::uint8_t LaneBytes __attribute__((vector_size(lanes)));    // one to a lane
typedef std::uint16_t LaneShorts __attribute__((vector_size(2 * lanes)));

// (In AVX-512, masked forms that keep all lanes: GCC 12 warns of undefined sources in the others.)

template <typename V>
[[maybe_unused]] inline void store(void* to, const V& value) {
    std::memcpy(to, &value, sizeof value);
}

using zeropoint::splat;  // of a float
[[maybe_unused]] inline Ints splat(std::int32_t value) { return Ints{} + value; }
[[maybe_unused]] inline Words splat(std::uint32_t value) { return Words{} + value; }
[[maybe_unused]] inline Bytes splat_bytes(std::uint8_t value) { return Bytes{} + value; }

// a · b + c, rounded once where the variant has FMA.
[[maybe_unused]] inline Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(ZEROPOINT_AVX512)
    return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

[[maybe_unused]] inline Floats to_floats(Ints value) { return __builtin_convertvector(value, Floats); }

// Loads one byte, or 16 bits, of each lane's row.
[[maybe_unused]] inline Ints bytes_to_ints(const std::uint8_t* from) {
#if defined(ZEROPOINT_AVX512)
    return (Ints)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128((const __m128i*)from));
#elif defined(__AVX2__)
    return (Ints)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from));
#else
    return __builtin_convertvector(load<LaneBytes>(from), Ints);
#endif
}

[[maybe_unused]] inline Ints signed_bytes_to_ints(const std::uint8_t* from) {
    return (bytes_to_ints(from) ^ 0x80) - 0x80;
}

[[maybe_unused]] inline Ints shorts_to_ints(const std::uint8_t* from) {
#if defined(ZEROPOINT_AVX512)
    return (Ints)_mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256((const __m256i*)from));
#elif defined(__AVX2__)
    return (Ints)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)from));
#else
    return __builtin_convertvector(load<LaneShorts>(from), Ints);
#endif
}

// Loads a float16 of each lane's row.
[[maybe_unused]] inline Floats halves_to_floats(const std::uint8_t* from) {
#if defined(ZEROPOINT_AVX512)
    return (Floats)_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i*)from));
#elif defined(__AVX2__)
    return (Floats)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from));
#else
    const LaneShorts halves = load<LaneShorts>(from);
    Floats result;
    for (int i = 0; i < lanes; ++i) result[i] = half_to_float(halves[i]);
    return result;
#endif
}

// The low byte of each lane.
[[maybe_unused]] inline void put_low_bytes(std::int8_t* to, Ints value) {
#if defined(ZEROPOINT_AVX512)
    _mm_storeu_si128((__m128i*)to, _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)value));
#else
    for (int i = 0; i < lanes; ++i) to[i] = std::int8_t(value[i]);
#endif
}

// Reduces all lanes by an operation whose order does not matter.
template <typename Operation>
[[maybe_unused]] inline std::int32_t over_lanes(Ints value, const Operation& combine) {
    typedef std::int32_t Quarter __attribute__((vector_size(16)));
    Quarter parts[lanes / 4];
    std::memcpy(parts, &value, sizeof parts);
    Quarter all = parts[0];
    for (int i = 1; i < lanes / 4; ++i) all = combine(all, parts[i]);
    all = combine(all, __builtin_shuffle(all, Quarter{2, 3, 0, 1}));
    all = combine(all, __builtin_shuffle(all, Quarter{1, 0, 3, 2}));
    return all[0];
}

// table[i] for each byte i in 0..15; the table is repeated in every 16 bytes.
[[maybe_unused]] inline Bytes lookup(const std::uint8_t (&table)[16], Bytes index) {
#if defined(ZEROPOINT_AVX512)
    const __m512i wide = _mm512_maskz_broadcast_i32x4(0xffff, _mm_loadu_si128((const __m128i*)table));
    return (Bytes)_mm512_shuffle_epi8(wide, (__m512i)index);
#elif defined(__AVX2__)
    const __m256i wide = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)table));
    return (Bytes)_mm256_shuffle_epi8(wide, (__m256i)index);
#else
    Bytes result;
    for (int i = 0; i < 4 * lanes; ++i) result[i] = table[index[i] & 15];
    return result;
#endif
}

// The signed byte `i` (0..3) of each lane.
template <int i>
[[maybe_unused]] inline Ints signed_byte(Bytes value) {
    return (Ints)((Words)value << (24 - 8 * i)) >> 24;
}

// Whether dot products take 8-bit codes as they are (signed) or biased by 128 (unsigned).
#if defined(__AVX2__) && !defined(ZEROPOINT_AVX512)
constexpr bool dots_signed_bytes = true;
#else
constexpr bool dots_signed_bytes = false;
#endif

#if !defined(__AVX2__)
// Four products per lane, unsigned weight by signed activation, by 16-bit multiplications.
[[maybe_unused]] inline Ints dot4(Ints sum, Bytes w, std::int32_t x) {
    const Shorts codes = (Shorts)w, activations = (Shorts)splat(x);
    const Shorts low_codes = codes & 0xff, high_codes = (Shorts)((Ints)(codes >> 8) & 0x00ff00ff);
    const Shorts low = (Shorts)(activations << 8) >> 8, high = activations >> 8;
#if defined(__SSE2__)
    return sum + (Ints)_mm_madd_epi16((__m128i)low_codes, (__m128i)low) +
           (Ints)_mm_madd_epi16((__m128i)high_codes, (__m128i)high);
#else
    for (int i = 0; i < 2 * lanes; ++i) sum[i / 2] += low_codes[i] * low[i] + high_codes[i] * high[i];
    return sum;
#endif
}
#endif

// start + the sum over `count` dwords t of the four products w[t] · x[t · stride] of each lane, exact.
// `bits` bounds the codes: below 2^bits, or, at 8, any byte (see dots_signed_bytes).
template <int bits, int count>
[[maybe_unused]] inline Ints dot(const Bytes* w, const std::int32_t* x, int stride, Ints start) {
#if defined(ZEROPOINT_AVX512)
    __m512i sum = (__m512i)start;
    for (int t = 0; t < count; ++t)
        sum = _mm512_dpbusd_epi32(sum, (__m512i)w[t], _mm512_set1_epi32(x[t * stride]));
    return (Ints)sum;
#elif defined(__AVX2__)
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = (__m256i)start;
    // A 16-bit sum holds 2 · (2^bits − 1) · 127 per step: it may take 8 steps of 4 bits, 4 of 5, 2 of 6.
    constexpr int steps = bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
    for (int t = 0; t < count; t += steps) {
        __m256i narrow = _mm256_setzero_si256();
        for (int s = t; s < t + steps && s < count; ++s) {
            const __m256i activations = _mm256_set1_epi32(x[s * stride]);
            const __m256i codes = (__m256i)w[s];
            const __m256i product =
                bits == 8 ? _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(activations, codes))
                          : _mm256_maddubs_epi16(codes, activations);
            narrow = s == t ? product : _mm256_add_epi16(narrow, product);
        }
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(narrow, ones));
    }
    return (Ints)sum;
#else
    Ints sum = start;
    for (int t = 0; t < count; ++t) sum = dot4(sum, w[t], x[t * stride]);
    return sum;
#endif
}

// For lambdas, which must not be declared inline: their variables stay in registers and not in memory.
#define ZEROPOINT_INLINE_LAMBDA __attribute__((always_inline))

template <int... i>
ZEROPOINT_INLINE constexpr void unrolled(std::integer_sequence<int, i...>, const auto& body) {
    (body(std::integral_constant<int, i>{}), ...);
}

// body(0), body(1), …, body(count − 1), each with its own constant.
template <int count>
ZEROPOINT_INLINE constexpr void unrolled(const auto& body) {
    unrolled(std::make_integer_sequence<int, count>{}, body);
}

// The maximum number of activations per call of `dots`: independent chains hide each other's latency.
constexpr int dots_at_once = 4;

// As `dot`, for all slices of a panel and `width` activations side by side; each word of activations is
// broadcast once: sums[slice · width + j] += the products of codes[t] · x[t · stride + j] of each lane.
template <int bits, int count, int width>
[[maybe_unused]] inline void dots(const std::uint8_t* codes, const std::int32_t* x, int stride, Ints* sums) {
#if defined(ZEROPOINT_AVX512)
    unrolled<count>([&](auto t) ZEROPOINT_INLINE_LAMBDA {
        const __m512i w = _mm512_loadu_si512(codes + 64 * t);
        unrolled<width>([&](auto j) ZEROPOINT_INLINE_LAMBDA {
            sums[j] = (Ints)_mm512_dpbusd_epi32((__m512i)sums[j], w, _mm512_set1_epi32(x[t * stride + j]));
        });
    });
#elif defined(__AVX2__)
    const __m256i ones = _mm256_set1_epi16(1);
    constexpr int steps = bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;  // as in `dot`
    __m256i narrow[2 * width];
    unrolled<count>([&](auto t) ZEROPOINT_INLINE_LAMBDA {
        const __m256i w[2] = {_mm256_loadu_si256((const __m256i*)(codes + 64 * t)),
                              _mm256_loadu_si256((const __m256i*)(codes + 64 * t + 32))};
        const __m256i magnitude[2] = {_mm256_abs_epi8(w[0]), _mm256_abs_epi8(w[1])};
        unrolled<width>([&](auto j) ZEROPOINT_INLINE_LAMBDA {
            const __m256i activations = _mm256_set1_epi32(x[t * stride + j]);
            unrolled<2>([&](auto s) ZEROPOINT_INLINE_LAMBDA {
                const __m256i product =
                    bits == 8 ? _mm256_maddubs_epi16(magnitude[s], _mm256_sign_epi8(activations, w[s]))
                              : _mm256_maddubs_epi16(w[s], activations);
                __m256i& sum = narrow[s * width + j];
                sum = t % steps == 0 ? product : _mm256_add_epi16(sum, product);
                if constexpr (t % steps == steps - 1 || t == count - 1)
                    sums[s * width + j] =
                        (Ints)_mm256_add_epi32((__m256i)sums[s * width + j], _mm256_madd_epi16(sum, ones));
            });
        });
    });
#else
    constexpr int slices = 16 / lanes;
    for (int s = 0; s < slices; ++s)
        for (int j = 0; j < width; ++j)
            for (int t = 0; t < count; ++t)
                sums[s * width + j] =
                    dot4(sums[s * width + j], load<Bytes>(codes + 64 * t + 4 * lanes * s), x[t * stride + j]);
#endif
}

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
