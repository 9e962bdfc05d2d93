// The arrays of the layers' states, as a pass takes them.
#pragma once
#include <nanobind/nanobind.h>

#include <vector>

#include "bindings/bindings.hpp"
#include "transformer/transformer.hpp"

namespace zeropoint {

// Sequence i of the pass is row i of the only item of `states`, or row 0 of item i.
std::vector<LayerCache> caches_of(const Transformer& transformer, const nanobind::list& states,
                                  Array<const std::int64_t, 1> starts, std::size_t count);

}  // namespace zeropoint
