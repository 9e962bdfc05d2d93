// Shared by the files of this folder: array types, the choice of a variant, and each file's entry point.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "runtime/cpu.hpp"

namespace zeropoint {

template <typename T, int Dimensions>
using Array = nanobind::ndarray<T, nanobind::ndim<Dimensions>, nanobind::c_contig, nanobind::device::cpu>;

void bind_compare(nanobind::module_& module);
void bind_machine(nanobind::module_& module);
void bind_matmul(nanobind::module_& module);
void bind_rounding(nanobind::module_& module);
void bind_transformer(nanobind::module_& module);

}  // namespace zeropoint
