// With the other bindings*.cpp the only C++ that knows Python. Every array is checked here: dtype and
// contiguity by its type, sizes against each other; the kernels get pointers and counts that fit.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "zeropoint/bindings.hpp"
#include "zeropoint/codec.hpp"
#include "zeropoint/pool.hpp"

namespace nb = nanobind;
using namespace zeropoint;

namespace {

CodecTable active_codecs() { return ZEROPOINT_PICK(codecs)(); }

const Codec* find(const std::string& name) {
    const CodecTable table = active_codecs();
    for (std::size_t i = 0; i < table.count; ++i)
        if (name == table.rows[i].name) return &table.rows[i];
    return nullptr;
}

constexpr std::size_t weights_per_task = 1 << 16;

void decode(const std::string& name, Array<const std::uint8_t, 2> blocks, Array<float, 2> weights,
            int threads) {
    const Codec* codec = find(name);
    if (!codec || !codec->decode) throw nb::value_error("no such decoder");
    const std::size_t n = blocks.shape(0);
    if (blocks.shape(1) != codec->block_bytes || weights.shape(0) != n ||
        weights.shape(1) != codec->block_size)
        throw nb::value_error("decode: the arrays do not fit each other");
    const std::uint8_t* in = blocks.data();
    float* out = weights.data();
    nb::gil_scoped_release release;
    const std::size_t chunk = std::max<std::size_t>(1, weights_per_task / codec->block_size);
    parallel_for((n + chunk - 1) / chunk, threads, [&](std::size_t task) {
        const std::size_t first = task * chunk;
        codec->decode(in + first * codec->block_bytes, out + first * codec->block_size,
                      std::min(chunk, n - first));
    });
}

std::vector<std::string> names(bool encoders) {
    std::vector<std::string> result;
    const CodecTable table = active_codecs();
    for (std::size_t i = 0; i < table.count; ++i)
        if (encoders ? table.rows[i].encode != nullptr : table.rows[i].decode != nullptr)
            result.emplace_back(table.rows[i].name);
    return result;
}

}  // namespace

NB_MODULE(_native, module) {
    module.def("variant", [] { return std::string(variant_name(active_variant())); });
    module.def("decoders", [] { return names(false); });
    module.def("encoders", [] { return names(true); });
    module.def("decode", &decode, nb::arg("format"), nb::arg("blocks"), nb::arg("weights"),
               nb::arg("threads"));
    bind_compare(module);
}
