#include "bindings/states.hpp"

namespace nb = nanobind;
using namespace zeropoint;

namespace {

void expect_cache(bool fits) {
    if (!fits) throw nb::value_error("transformer: the cache does not fit this layer");
}

// Bytes of `size` values of a row; blocks have 32 values.
std::size_t stored_bytes(CacheType type, std::size_t size) {
    switch (type) {
        case CacheType::f32: return 4 * size;
        case CacheType::f16: return 2 * size;
        case CacheType::q8_0: return size / 32 * 34;
        case CacheType::q4_0: return size / 32 * 18;
    }
    return 0;
}

bool has_type(const nb::ndarray<nb::c_contig, nb::device::cpu>& array, CacheType type) {
    if (type == CacheType::f32) return array.dtype() == nb::dtype<float>();
    return array.dtype() == (type == CacheType::f16 ? nb::dtype<std::uint16_t>() : nb::dtype<std::uint8_t>());
}

// The keys and values of a layer for the sequence `row`, with room for the positions up to `end`.
KeyValueCache keys_and_values(const AttentionConfig& part, const nb::list& arrays, std::size_t row,
                              std::size_t end, std::size_t count) {
    expect_cache(arrays.size() == 2);
    using Rows = nb::ndarray<nb::c_contig, nb::device::cpu>;
    const auto keys = nb::cast<Rows>(arrays[0]), values = nb::cast<Rows>(arrays[1]);
    expect_cache(keys.ndim() == 5 && values.ndim() == 4 && has_type(keys, part.key_type) &&
                 has_type(values, part.value_type));
    const std::size_t slots = keys.shape(2) * key_tile;
    const std::size_t tile_bytes = keys.shape(3) * keys.shape(4) * keys.itemsize();
    const std::size_t row_bytes = values.shape(3) * values.itemsize();
    expect_cache(keys.shape(0) > row && keys.shape(1) == part.kv_heads && keys.shape(2) > 0 &&
                 tile_bytes == key_tile * stored_bytes(part.key_type, part.head_size) &&
                 values.shape(0) == keys.shape(0) && values.shape(1) == part.kv_heads &&
                 values.shape(2) == slots && row_bytes >= stored_bytes(part.value_type, part.value_size) &&
                 row_bytes % stored_bytes(part.value_type, 32) == 0);
    if (end > slots && (!part.window || part.window - 1 + count > slots))
        throw nb::value_error("transformer: no room in the cache");
    const std::size_t places = row * part.kv_heads * slots;
    return {static_cast<std::byte*>(keys.data()) + places / key_tile * tile_bytes,
            static_cast<std::byte*>(values.data()) + places * row_bytes, slots, tile_bytes, row_bytes};
}

// The arrays (sequences, …) of a recurrent layer for the sequence `row`, with so many floats each.
RecurrentCache recurrent_arrays(const nb::list& arrays, std::size_t row, std::size_t convolution,
                                std::size_t states) {
    const std::size_t sizes[2] = {convolution, states};
    float* found[2] = {};
    expect_cache(arrays.size() == (states ? 2 : 1));
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        const auto array = nb::cast<nb::ndarray<float, nb::c_contig, nb::device::cpu>>(arrays[i]);
        expect_cache(array.ndim() > 0 && array.shape(0) > row && array.size() == array.shape(0) * sizes[i]);
        found[i] = array.data() + row * sizes[i];
    }
    return {found[0], found[1]};
}

}  // namespace

std::vector<LayerCache> zeropoint::caches_of(const Transformer& transformer, const nb::list& states,
                                             Array<const std::int64_t, 1> starts, std::size_t count) {
    const auto layers = transformer.layers();
    const std::size_t batch = starts.shape(0);
    if (states.size() != 1 && states.size() != batch)
        throw nb::value_error("transformer: the arrays do not fit each other");
    std::vector<LayerCache> caches(layers.size() * batch);
    for (std::size_t s = 0; s < batch; ++s) {
        if (starts(s) < 0) throw nb::value_error("transformer: no room in the cache");
        const bool one = states.size() == 1;
        const auto all = nb::cast<nb::list>(states[one ? 0 : s]);
        if (all.size() != layers.size())
            throw nb::value_error("transformer: the arrays do not fit each other");
        const std::size_t row = one ? s : 0, end = std::size_t(starts(s)) + count;
        for (std::size_t i = 0; i < layers.size(); ++i) {
            const auto arrays = nb::cast<nb::list>(all[i]);
            LayerCache& cache = caches[i * batch + s];
            if (layers[i].attention) cache = keys_and_values(layers[i].attention, arrays, row, end, count);
            if (const DeltaNetConfig& part = layers[i].delta_net)
                cache = recurrent_arrays(arrays, row, (part.kernel - 1) * part.channels(),
                                         part.value_heads * part.size * state_pitch(part.size));
            if (const Mamba2Config& part = layers[i].mamba2)
                cache = recurrent_arrays(arrays, row, (part.kernel - 1) * part.channels(),
                                         part.heads * part.state_size * state_pitch(part.size));
            if (const ShortConvolutionConfig& part = layers[i].short_convolution)
                cache = recurrent_arrays(arrays, row, (part.kernel - 1) * transformer.width(), 0);
        }
    }
    return caches;
}
