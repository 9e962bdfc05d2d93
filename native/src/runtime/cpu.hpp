// The instruction sets of this machine, and the variant that is used.
#pragma once

namespace zeropoint {

enum class Variant { baseline, avx2, avx512 };

// The best variant that both the CPU and the operating system support. ZEROPOINT_CPU=baseline|avx2|avx512
// in the environment chooses a lower one. Throws if the name is unknown or this machine does not support it.
Variant active_variant();
const char* variant_name(Variant);

}  // namespace zeropoint

// NAME of the active variant: ZEROPOINT_PICK(compare_logits) is avx2::compare_logits on a machine with AVX2.
#ifdef ZEROPOINT_HAS_avx512
#define ZEROPOINT_PICK(name)                                                              \
    (zeropoint::active_variant() == zeropoint::Variant::avx512 ? &zeropoint::avx512::name \
     : zeropoint::active_variant() == zeropoint::Variant::avx2 ? &zeropoint::avx2::name   \
                                                               : &zeropoint::baseline::name)
#else
#define ZEROPOINT_PICK(name) (&zeropoint::baseline::name)
#endif
