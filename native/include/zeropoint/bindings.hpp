// What the bindings*.cpp share: array types, the choice of a variant, and each file's entry.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "zeropoint/cpu.hpp"

namespace zeropoint {

template <typename T, int Dimensions>
using Array = nanobind::ndarray<T, nanobind::ndim<Dimensions>, nanobind::c_contig, nanobind::device::cpu>;

void bind_compare(nanobind::module_& module);
void bind_machine(nanobind::module_& module);

}  // namespace zeropoint

// NAME of the active variant: ZEROPOINT_PICK(compare_logits) is avx2::compare_logits on a machine with AVX2.
#ifdef ZEROPOINT_HAS_avx512
#define ZEROPOINT_PICK(name)                                                           \
    (zeropoint::active_variant() == zeropoint::Variant::avx512 ? &zeropoint::avx512::name \
     : zeropoint::active_variant() == zeropoint::Variant::avx2 ? &zeropoint::avx2::name \
                                                               : &zeropoint::baseline::name)
#else
#define ZEROPOINT_PICK(name) (&zeropoint::baseline::name)
#endif
