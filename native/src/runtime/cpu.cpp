#include "runtime/cpu.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace zeropoint {
namespace {

// __builtin_cpu_supports asks CPUID and XGETBV, so a feature that the operating system does not save
// on a context switch counts as absent.
Variant best_variant() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512vnni");
    if (avx512) return Variant::avx512;
    if (avx2) return Variant::avx2;
#endif
    return Variant::baseline;
}

Variant choose_variant() {
    const Variant best = best_variant();
    const char* asked = std::getenv("ZEROPOINT_CPU");
    if (!asked || !*asked) return best;
    for (Variant variant : {Variant::baseline, Variant::avx2, Variant::avx512}) {
        if (asked != std::string(variant_name(variant))) continue;
        if (variant > best)
            throw std::runtime_error("ZEROPOINT_CPU=" + std::string(asked) +
                                     " is not supported by this machine; it has " + variant_name(best));
        return variant;
    }
    throw std::runtime_error("ZEROPOINT_CPU=" + std::string(asked) +
                             " is unknown; use baseline, avx2 or avx512");
}

}  // namespace

Variant active_variant() {
    static const Variant variant = choose_variant();
    return variant;
}

const char* variant_name(Variant variant) {
    switch (variant) {
        case Variant::avx512: return "avx512";
        case Variant::avx2: return "avx2";
        default: return "baseline";
    }
}

}  // namespace zeropoint
