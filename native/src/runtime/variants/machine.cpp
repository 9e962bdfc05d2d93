// The peaks of one variant: memory reads and multiply-adds, with the widest registers that it has.
#include "runtime/machine.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

std::uint64_t read(const std::uint64_t* data, std::size_t words) {
    // Eight sums, so that no addition waits for the one before; the compiler makes vectors of them.
    std::uint64_t sums[8] = {};
    std::size_t i = 0;
#if defined(__AVX2__)
    __m256i wide[8] = {};
    for (; i + 32 <= words; i += 32) {
        for (int k = 0; k < 8; ++k) {
            const auto* at = reinterpret_cast<const __m256i*>(data + i + 4 * k);
            wide[k] = _mm256_add_epi64(wide[k], _mm256_loadu_si256(at));
        }
    }
    for (int k = 0; k < 8; ++k) {
        std::uint64_t lanes[4];
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), wide[k]);
        for (std::uint64_t lane : lanes) sums[k] += lane;
    }
#endif
    for (; i + 8 <= words; i += 8)
        for (int k = 0; k < 8; ++k) sums[k] += data[i + k];
    for (; i < words; ++i) sums[0] += data[i];
    std::uint64_t total = 0;
    for (std::uint64_t sum : sums) total += sum;
    return total;
}

// Two ports with four cycles of latency need eight chains; sixteen cover that and fit the registers of
// AVX-512, twelve those of AVX2. x <- x · a + b with a < 1 stays finite.
#if defined(__AVX512F__)
constexpr int chains = 16, lanes = 16;
using Vector = __m512;
Vector splat(float value) { return _mm512_set1_ps(value); }
Vector step(Vector x, Vector a, Vector b) { return _mm512_fmadd_ps(x, a, b); }
#elif defined(__AVX2__)
constexpr int chains = 12, lanes = 8;
using Vector = __m256;
Vector splat(float value) { return _mm256_set1_ps(value); }
Vector step(Vector x, Vector a, Vector b) { return _mm256_fmadd_ps(x, a, b); }
#else
constexpr int chains = 12, lanes = 4;
typedef float Vector __attribute__((vector_size(16)));
Vector splat(float value) { return Vector{value, value, value, value}; }
Vector step(Vector x, Vector a, Vector b) { return x * a + b; }
#endif

float multiply_add(std::size_t rounds, std::uint64_t* flops) {
    Vector x[chains];
    for (int k = 0; k < chains; ++k) x[k] = splat(float(k));
    const Vector a = splat(0.75f), b = splat(0.25f);
    for (std::size_t round = 0; round < rounds; ++round)
        for (int k = 0; k < chains; ++k) x[k] = step(x[k], a, b);
    *flops = std::uint64_t(rounds) * chains * lanes * 2;
    float total = 0;
    for (int k = 0; k < chains; ++k) total += reinterpret_cast<const float*>(&x[k])[0];
    return total;
}

}  // namespace

Probes probes() { return {read, multiply_add}; }

}  // namespace zeropoint::ZEROPOINT_VARIANT
