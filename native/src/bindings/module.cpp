// The extension module. Only this folder's C++ uses Python, and it checks every array: dtype and contiguity
// by its type, sizes against each other. The kernels do not check them again.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>

#include "bindings/bindings.hpp"
#include "codecs/codec.hpp"
#include "codecs/transcode.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/pool.hpp"
#include "reductions/scan.hpp"

namespace nb = nanobind;
using namespace zeropoint;

namespace {

using Importance = std::optional<Array<const float, 1>>;

CodecTable active_codecs() { return ZEROPOINT_PICK(codecs)(); }

constexpr std::size_t weights_per_task = 1 << 16;

void decode(const std::string& name, Array<const std::uint8_t, 2> blocks, Array<float, 2> weights,
            int threads) {
    const Codec* codec = find_codec(name);
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
        const FloatMode mode;
        codec->decode(in + first * codec->block_bytes, out + first * codec->block_size,
                      std::min(chunk, n - first));
    });
}

void encode(const std::string& name, Array<const float, 2> weights, Importance importance,
            Array<std::uint8_t, 2> blocks, int threads) {
    const Codec* codec = find_codec(name);
    if (!codec || !codec->encode) throw nb::value_error("no such encoder");
    const std::size_t columns = weights.shape(1), size = codec->block_size;
    if (columns % size || blocks.shape(0) != weights.shape(0) * (columns / size) ||
        blocks.shape(1) != codec->block_bytes || (importance && importance->shape(0) != columns))
        throw nb::value_error("encode: the arrays do not fit each other");
    const Source source{weights.data(), importance ? importance->data() : nullptr,
                        std::max<std::size_t>(1, columns / size)};
    const std::size_t n = blocks.shape(0);
    std::uint8_t* out = blocks.data();
    nb::gil_scoped_release release;
    const std::size_t chunk = std::max<std::size_t>(1, weights_per_task / size);
    parallel_for((n + chunk - 1) / chunk, threads, [&](std::size_t task) {
        const std::size_t first = task * chunk;
        const FloatMode mode;
        codec->encode(source, out, first, std::min(chunk, n - first));
    });
}

// Returns (error, power), or nothing if a weight is not below the limit.
std::optional<std::pair<double, double>> bound_transcode(const std::string& source, const std::string& target,
                                                         Array<const std::uint8_t, 1> stored,
                                                         Importance importance, float limit,
                                                         std::size_t columns, Array<std::uint8_t, 2> blocks,
                                                         int threads) {
    const Codec *from = find_codec(source), *to = find_codec(target);
    if (!from || !from->decode) throw nb::value_error("no such decoder");
    if (!to || !to->encode || !to->decode) throw nb::value_error("no such encoder");
    const std::size_t rows = columns ? blocks.shape(0) * to->block_size / columns : 0;
    if (columns % from->block_size || columns % to->block_size || blocks.shape(1) != to->block_bytes ||
        blocks.shape(0) * to->block_size != rows * columns ||
        stored.shape(0) != rows * (columns / from->block_size) * from->block_bytes ||
        (importance && importance->shape(0) != columns))
        throw nb::value_error("transcode: the arrays do not fit each other");
    const Rows shape{rows, columns, importance ? importance->data() : nullptr, limit};
    const std::uint8_t* in = stored.data();
    std::uint8_t* out = blocks.data();
    Transcoded found;
    {
        nb::gil_scoped_release release;
        found = transcode(*from, in, *to, out, shape, threads);
    }
    if (!found.encoded) return std::nullopt;
    return std::pair{found.error, found.power};
}

double bound_weighted_error(Array<const float, 2> weights, std::optional<Array<const float, 2>> decoded,
                            Importance importance, int threads) {
    const std::size_t rows = weights.shape(0), columns = weights.shape(1);
    if ((decoded && (decoded->shape(0) != rows || decoded->shape(1) != columns)) ||
        (importance && importance->shape(0) != columns))
        throw nb::value_error("weighted_error: the arrays do not fit each other");
    nb::gil_scoped_release release;
    return weighted_error(weights.data(), decoded ? decoded->data() : nullptr,
                          importance ? importance->data() : nullptr, rows, columns, threads);
}

std::size_t bound_first_beyond(Array<const float, 2> weights, float limit, int threads) {
    nb::gil_scoped_release release;
    return first_beyond(weights.data(), weights.size(), limit, threads);
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
    module.def("encode", &encode, nb::arg("format"), nb::arg("weights"), nb::arg("importance").none(),
               nb::arg("blocks"), nb::arg("threads"));
    module.def("transcode", &bound_transcode, nb::arg("source"), nb::arg("target"), nb::arg("stored"),
               nb::arg("importance").none(), nb::arg("limit"), nb::arg("columns"), nb::arg("blocks"),
               nb::arg("threads"));
    module.def("weighted_error", &bound_weighted_error, nb::arg("weights"), nb::arg("decoded").none(),
               nb::arg("importance").none(), nb::arg("threads"));
    module.def("first_beyond", &bound_first_beyond, nb::arg("weights"), nb::arg("limit"), nb::arg("threads"));
    bind_compare(module);
    bind_machine(module);
    bind_matmul(module);
    bind_rounding(module);
    bind_transformer(module);
}
