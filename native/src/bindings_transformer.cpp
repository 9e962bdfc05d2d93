// Bindings of the whole forward pass (see transformer.hpp). Layers are described by plain dicts; what
// they point at is kept alive here.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "zeropoint/bindings.hpp"
#include "zeropoint/transformer.hpp"

namespace nb = nanobind;
using namespace zeropoint;

namespace {

using Vector = Array<const float, 1>;

struct Bound {
    Transformer core;
    std::vector<nb::object> kept;
};

template <typename T>
T number(const nb::dict& numbers, const char* name) {
    return nb::cast<T>(numbers[name]);
}

const float* vector_of(const nb::dict& vectors, const char* name, std::size_t size) {
    if (!vectors.contains(name)) return nullptr;
    const auto vector = nb::cast<Vector>(vectors[name]);
    if (vector.shape(0) != size)
        throw nb::value_error((std::string("transformer: ") + name + " has another length").c_str());
    return vector.data();
}

// (matrix, bias or None, scale)
Linear linear_of(nb::handle parts) {
    const auto tuple = nb::cast<nb::tuple>(parts);
    Linear linear;
    linear.weights = nb::cast<const PackedMatrix*>(tuple[0]);
    if (!tuple[1].is_none()) {
        const auto bias = nb::cast<Vector>(tuple[1]);
        if (bias.shape(0) != linear.weights->rows()) throw nb::value_error("transformer: bias");
        linear.bias = bias.data();
    }
    linear.scale = nb::cast<float>(tuple[2]);
    return linear;
}

Linear linear_of(const nb::dict& linears, const char* name) {
    return linears.contains(name) ? linear_of(linears[name]) : Linear{};
}

std::vector<Linear> experts_of(const nb::dict& experts, const char* name) {
    std::vector<Linear> result;
    if (experts.contains(name))
        for (nb::handle parts : nb::cast<nb::list>(experts[name])) result.push_back(linear_of(parts));
    return result;
}

Activation activation_of(const std::string& name) {
    if (name == "silu") return Activation::silu;
    if (name == "gelu") return Activation::gelu;
    if (name == "relu2") return Activation::relu2;
    throw nb::value_error("transformer: the activation is silu, gelu or relu2");
}

void add_layer(Bound& bound, nb::dict numbers, nb::dict vectors, nb::dict linears, nb::dict experts) {
    LayerWeights layer;
    layer.heads = number<std::size_t>(numbers, "heads");
    layer.kv_heads = number<std::size_t>(numbers, "kv_heads");
    layer.head_size = number<std::size_t>(numbers, "head_size");
    layer.value_size = number<std::size_t>(numbers, "value_size");
    layer.window = number<std::size_t>(numbers, "window");
    layer.scale = number<float>(numbers, "scale");
    layer.softcap = number<float>(numbers, "softcap");
    layer.temperature_scale = number<double>(numbers, "temperature_scale");
    layer.temperature_length = number<std::size_t>(numbers, "temperature_length");
    layer.rope = number<int>(numbers, "rope");
    layer.activation = activation_of(number<std::string>(numbers, "activation"));
    const std::size_t width = bound.core.width(), values = layer.heads * layer.value_size;
    layer.attn_norm = vector_of(vectors, "attn_norm", width);
    layer.q_norm = vector_of(vectors, "attn_q_norm", layer.head_size);
    layer.k_norm = vector_of(vectors, "attn_k_norm", layer.head_size);
    layer.attn_sub_norm = vector_of(vectors, "attn_sub_norm", values);
    layer.post_attention_norm = vector_of(vectors, "post_attention_norm", width);
    layer.ffn_norm = vector_of(vectors, "ffn_norm", width);
    layer.post_ffw_norm = vector_of(vectors, "post_ffw_norm", width);
    layer.qkv = linear_of(linears, "attn_qkv");
    layer.q = linear_of(linears, "attn_q");
    layer.k = linear_of(linears, "attn_k");
    layer.v = linear_of(linears, "attn_v");
    layer.attn_output = linear_of(linears, "attn_output");
    layer.gate = linear_of(linears, "ffn_gate");
    layer.up = linear_of(linears, "ffn_up");
    layer.down = linear_of(linears, "ffn_down");
    if (layer.down)
        layer.ffn_sub_norm = vector_of(vectors, "ffn_sub_norm", layer.down.weights->columns());
    layer.experts.router = linear_of(linears, "ffn_gate_inp");
    if (layer.experts.router) {
        layer.experts.gate = experts_of(experts, "ffn_gate_exps");
        layer.experts.up = experts_of(experts, "ffn_up_exps");
        layer.experts.down = experts_of(experts, "ffn_down_exps");
        layer.experts.used = number<std::size_t>(numbers, "experts_used");
        layer.experts.normalize = number<bool>(numbers, "experts_normalize");
        layer.experts.scale = number<float>(numbers, "experts_scale");
    }
    bound.core.add(layer);
    for (nb::dict& part : std::vector<nb::dict>{vectors, linears, experts}) bound.kept.push_back(part);
}

// (frequencies, interleaved, magnitude)
std::vector<Rotation> rotations_of(const nb::list& list, std::size_t head_size) {
    std::vector<Rotation> result;
    for (nb::handle parts : list) {
        const auto tuple = nb::cast<nb::tuple>(parts);
        const auto frequencies = nb::cast<Vector>(tuple[0]);
        if (2 * frequencies.shape(0) > head_size) throw nb::value_error("transformer: rotation");
        result.push_back({frequencies.data(), 2 * frequencies.shape(0), nb::cast<bool>(tuple[1]),
                          nb::cast<float>(tuple[2])});
    }
    return result;
}

LayerCache cache_of(const LayerWeights& layer, std::size_t batch, nb::handle keys, nb::handle values) {
    const auto k = nb::cast<Array<float, 5>>(keys);
    const auto v = nb::cast<Array<float, 4>>(values);
    const std::size_t slots = k.shape(2) * key_tile;
    const bool fits = k.shape(0) >= batch && k.shape(1) == layer.kv_heads && k.shape(2) > 0 &&
                      k.shape(3) == layer.head_size && k.shape(4) == key_tile &&
                      v.shape(0) == k.shape(0) && v.shape(1) == layer.kv_heads && v.shape(2) == slots &&
                      v.shape(3) >= layer.value_size && v.shape(3) % 32 == 0;
    if (!fits) throw nb::value_error("transformer: the cache does not fit this layer");
    return {k.data(), v.data(), slots, v.shape(3)};
}

void run(Bound& bound, Array<float, 3> x, Array<const std::int64_t, 1> starts, nb::list rotations,
         nb::list keys, nb::list values, const std::string& mode, int threads, nb::object watch) {
    const auto layers = bound.core.layers();
    if (x.shape(2) != bound.core.width() || starts.shape(0) != x.shape(0) || x.shape(1) == 0 ||
        keys.size() != layers.size() || values.size() != layers.size())
        throw nb::value_error("transformer: the arrays do not fit each other");
    std::vector<LayerCache> caches;
    std::size_t head_size = SIZE_MAX;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        caches.push_back(cache_of(layers[i], x.shape(0), keys[i], values[i]));
        const std::size_t window = layers[i].window;
        for (std::size_t s = 0; s < x.shape(0); ++s) {
            const std::size_t end = std::size_t(starts(s)) + x.shape(1);
            if (starts(s) < 0 || (end > caches[i].slots && (!window || window - 1 + x.shape(1) > caches[i].slots)))
                throw nb::value_error("transformer: no room in the cache");
        }
        if (layers[i].rope >= 0) head_size = std::min(head_size, layers[i].head_size);
    }
    const auto turned = rotations_of(rotations, head_size);
    const Watch watcher = [&](std::size_t layer, const char* role, int expert, const float* rows,
                              std::size_t count, std::size_t columns) {
        nb::gil_scoped_acquire acquire;
        // A view of memory that is used again afterwards: who keeps it copies it, and who changes it
        // changes what is multiplied.
        nb::ndarray<nb::numpy, float> view(const_cast<float*>(rows), {count, columns}, nb::none());
        watch(layer, role, expert, view);
    };
    const std::function<void()> poll = [] {
        nb::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals()) throw nb::python_error();
    };
    if (mode != "exact" && mode != "fast") throw nb::value_error("the mode is exact or fast");
    const Pass pass{x.data(), x.shape(0), x.shape(1), {starts.data(), starts.shape(0)}, turned, caches,
                    mode == "exact" ? Mode::exact : Mode::fast, threads,
                    watch.is_none() ? nullptr : &watcher, x.shape(1) > 8 ? &poll : nullptr};
    nb::gil_scoped_release release;
    bound.core.run(pass);
}

}  // namespace

void zeropoint::bind_transformer(nb::module_& module) {
    nb::class_<Bound>(module, "Transformer")
        .def("__init__",
             [](Bound* self, std::size_t width, float epsilon, Vector output_norm) {
                 if (output_norm.shape(0) != width) throw nb::value_error("transformer: output_norm");
                 new (self) Bound{Transformer(width, epsilon, output_norm.data()), {nb::cast(output_norm)}};
             },
             nb::arg("width"), nb::arg("epsilon"), nb::arg("output_norm"))
        .def("add_layer", &add_layer, nb::arg("numbers"), nb::arg("vectors"), nb::arg("linears"),
             nb::arg("experts"))
        .def("run", &run, nb::arg("x"), nb::arg("starts"), nb::arg("rotations"), nb::arg("keys"),
             nb::arg("values"), nb::arg("mode"), nb::arg("threads"), nb::arg("watch").none());
}
