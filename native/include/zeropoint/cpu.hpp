// Which instruction sets this machine has, and which variant is used.
#pragma once

namespace zeropoint {

enum class Variant { baseline, avx2, avx512 };

// The best variant that both the CPU and the operating system support. ZEROPOINT_CPU=baseline|avx2|avx512
// in the environment chooses a lower one; a name that is unknown or not supported here is an exception.
Variant active_variant();
const char* variant_name(Variant);

}  // namespace zeropoint
