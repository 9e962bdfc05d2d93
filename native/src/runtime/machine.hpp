// The two peaks of this machine that every other speed is compared with: read bandwidth and arithmetic.
#pragma once
#include <cstddef>
#include <cstdint>

namespace zeropoint {

struct Probes {
    // Adds up `words` 64-bit words, as fast as memory delivers them.
    std::uint64_t (*read)(const std::uint64_t* data, std::size_t words);
    // Runs `rounds` rounds of independent multiply-adds on registers; `flops` is set to their number.
    float (*multiply_add)(std::size_t rounds, std::uint64_t* flops);
};

namespace baseline {
Probes probes();
}
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 {
Probes probes();
}
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 {
Probes probes();
}
#endif

}  // namespace zeropoint
