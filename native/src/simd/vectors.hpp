// Vectors of 32-bit lanes, as wide as the variant's registers: what the encoders (block_vectors.hpp) and the
// products (row_vectors.hpp) share. Included by variants only.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own header (bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

// The variant avx512 is compiled with all of these; see CMakeLists.txt.
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VNNI__)
#define ZEROPOINT_AVX512
#endif

#define ZEROPOINT_INLINE __attribute__((always_inline, unused)) inline

namespace zeropoint {
// Internal linkage: each variant keeps its own copy.
namespace {

#if defined(ZEROPOINT_AVX512)
constexpr int lanes = 16;
#elif defined(__AVX2__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * lanes)));
typedef std::int32_t Ints __attribute__((vector_size(4 * lanes)));  // also masks: 0 or -1 per lane

ZEROPOINT_INLINE Floats splat(float value) { return value - Floats{}; }

template <typename V>
ZEROPOINT_INLINE V load(const void* from) {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

}  // namespace
}  // namespace zeropoint
