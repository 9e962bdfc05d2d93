// Bindings of the whole forward pass (see transformer.hpp). The Bound classes keep alive the Python
// objects whose memory their base refers to.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "transformer/transformer.hpp"

namespace nb = nanobind;
using namespace zeropoint;

namespace {

using Vector = Array<const float, 1>;

Floats floats_of(const Vector& vector) { return {vector.data(), vector.shape(0)}; }

struct BoundLinear : Linear {
    nb::object matrix, array;
};

struct BoundRotation : Rotation {
    nb::object array;
};

struct BoundLayer : LayerConfig {
    std::vector<nb::object> arrays;
};

struct BoundTransformer : Transformer {
    BoundTransformer(std::size_t width, float epsilon, const Vector& output_norm,
                     const std::vector<BoundLayer*>& layers)
        : Transformer(width, epsilon, floats_of(output_norm), layers_of(layers)) {
        arrays.push_back(nb::cast(output_norm));
        for (const BoundLayer* layer : layers)
            arrays.insert(arrays.end(), layer->arrays.begin(), layer->arrays.end());
    }

    static std::vector<LayerConfig> layers_of(const std::vector<BoundLayer*>& layers) {
        std::vector<LayerConfig> configs;
        for (const BoundLayer* layer : layers) configs.push_back(*layer);
        return configs;
    }

    std::vector<nb::object> arrays;
};

Linear keep(BoundLayer& layer, const BoundLinear& linear) {
    layer.arrays.push_back(linear.matrix);
    if (linear.array.is_valid()) layer.arrays.push_back(linear.array);
    return linear;
}

void bind_parts(nb::module_& module) {
    nb::enum_<Activation>(module, "Activation")
        .value("silu", Activation::silu)
        .value("gelu", Activation::gelu)
        .value("relu2", Activation::relu2);
    nb::class_<BoundLinear>(module, "Linear")
        .def(
            "__init__",
            [](BoundLinear* self, nb::object weights, std::optional<Vector> bias, float scale) {
                new (self) BoundLinear{};
                self->weights = nb::cast<const PackedMatrix*>(weights);
                self->scale = scale;
                self->matrix = weights;
                if (bias) self->bias = floats_of(*bias), self->array = nb::cast(*bias);
            },
            nb::arg("weights").sig("PackedMatrix"), nb::arg("bias").none(), nb::arg("scale"));
    nb::class_<BoundRotation>(module, "Rotation")
        .def(
            "__init__",
            [](BoundRotation* self, Vector frequencies, bool interleaved, float magnitude) {
                new (self)
                    BoundRotation{{floats_of(frequencies), interleaved, magnitude}, nb::cast(frequencies)};
            },
            nb::arg("frequencies"), nb::arg("interleaved"), nb::arg("magnitude"));
}

// Each property is write-only: Python describes a layer once and passes it to the transformer.
using LayerClass = nb::class_<BoundLayer>;

void bind_norm(LayerClass& layer, const char* name, Floats LayerConfig::* field) {
    layer.def_prop_rw(name, nullptr, [field](BoundLayer& self, const Vector& weights) {
        self.*field = floats_of(weights);
        self.arrays.push_back(nb::cast(weights));
    });
}

template <typename Select>  // the layer's Linear
void bind_linear(LayerClass& layer, const char* name, Select select) {
    layer.def_prop_rw(name, nullptr, [select](BoundLayer& self, const BoundLinear& linear) {
        select(self) = keep(self, linear);
    });
}

void bind_experts(LayerClass& layer, const char* name, std::vector<Linear> ExpertConfig::* field) {
    layer.def_prop_rw(name, nullptr, [field](BoundLayer& self, const std::vector<BoundLinear*>& all) {
        std::vector<Linear> linears;
        for (const BoundLinear* linear : all) linears.push_back(keep(self, *linear));
        self.experts.*field = std::move(linears);
    });
}

template <typename Value>
void bind_expert_setting(LayerClass& layer, const char* name, Value ExpertConfig::* field) {
    layer.def_prop_rw(name, nullptr, [field](BoundLayer& self, Value value) { self.experts.*field = value; });
}

void bind_layer(nb::module_& module) {
    LayerClass layer(module, "LayerConfig");
    layer.def(nb::init<>())
        .def_rw("heads", &BoundLayer::heads)
        .def_rw("kv_heads", &BoundLayer::kv_heads)
        .def_rw("head_size", &BoundLayer::head_size)
        .def_rw("value_size", &BoundLayer::value_size)
        .def_rw("window", &BoundLayer::window)
        .def_rw("scale", &BoundLayer::scale)
        .def_rw("softcap", &BoundLayer::softcap)
        .def_rw("temperature_scale", &BoundLayer::temperature_scale)
        .def_rw("temperature_length", &BoundLayer::temperature_length)
        .def_rw("rope", &BoundLayer::rope)
        .def_rw("activation", &BoundLayer::activation);
    bind_norm(layer, "attn_norm", &LayerConfig::attn_norm);
    bind_norm(layer, "attn_q_norm", &LayerConfig::attn_q_norm);
    bind_norm(layer, "attn_k_norm", &LayerConfig::attn_k_norm);
    bind_norm(layer, "attn_sub_norm", &LayerConfig::attn_sub_norm);
    bind_norm(layer, "post_attention_norm", &LayerConfig::post_attention_norm);
    bind_norm(layer, "ffn_norm", &LayerConfig::ffn_norm);
    bind_norm(layer, "ffn_sub_norm", &LayerConfig::ffn_sub_norm);
    bind_norm(layer, "post_ffw_norm", &LayerConfig::post_ffw_norm);
    const auto linear = [&](const char* name, Linear LayerConfig::* field) {
        bind_linear(layer, name, [field](BoundLayer& self) -> Linear& { return self.*field; });
    };
    linear("attn_qkv", &LayerConfig::attn_qkv);
    linear("attn_q", &LayerConfig::attn_q);
    linear("attn_k", &LayerConfig::attn_k);
    linear("attn_v", &LayerConfig::attn_v);
    linear("attn_output", &LayerConfig::attn_output);
    linear("ffn_gate", &LayerConfig::ffn_gate);
    linear("ffn_up", &LayerConfig::ffn_up);
    linear("ffn_down", &LayerConfig::ffn_down);
    bind_linear(layer, "ffn_gate_inp", [](BoundLayer& self) -> Linear& { return self.experts.router; });
    bind_experts(layer, "ffn_gate_exps", &ExpertConfig::gate);
    bind_experts(layer, "ffn_up_exps", &ExpertConfig::up);
    bind_experts(layer, "ffn_down_exps", &ExpertConfig::down);
    bind_expert_setting(layer, "experts_used", &ExpertConfig::used);
    bind_expert_setting(layer, "experts_normalize", &ExpertConfig::normalize);
    bind_expert_setting(layer, "experts_scale", &ExpertConfig::scale);
}

LayerCache cache_of(const LayerConfig& layer, std::size_t batch, nb::handle keys, nb::handle values) {
    const auto k = nb::cast<Array<float, 5>>(keys);
    const auto v = nb::cast<Array<float, 4>>(values);
    const std::size_t slots = k.shape(2) * key_tile;
    const bool fits = k.shape(0) >= batch && k.shape(1) == layer.kv_heads && k.shape(2) > 0 &&
                      k.shape(3) == layer.head_size && k.shape(4) == key_tile && v.shape(0) == k.shape(0) &&
                      v.shape(1) == layer.kv_heads && v.shape(2) == slots && v.shape(3) >= layer.value_size &&
                      v.shape(3) % 32 == 0;
    if (!fits) throw nb::value_error("transformer: the cache does not fit this layer");
    return {k.data(), v.data(), slots, v.shape(3)};
}

void check_rotations(std::span<const LayerConfig> layers, const std::vector<Rotation>& rotations) {
    for (const LayerConfig& layer : layers)
        if (layer.rope >= 0 && (std::size_t(layer.rope) >= rotations.size() ||
                                2 * rotations[layer.rope].pairs() > layer.head_size))
            throw nb::value_error("transformer: rotation");
}

std::vector<LayerCache> caches_of(const Transformer& transformer, const nb::list& keys,
                                  const nb::list& values, Array<const std::int64_t, 1> starts,
                                  std::size_t count) {
    const auto layers = transformer.layers();
    std::vector<LayerCache> caches;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        caches.push_back(cache_of(layers[i], starts.shape(0), keys[i], values[i]));
        const std::size_t window = layers[i].window, slots = caches[i].slots;
        for (std::size_t s = 0; s < starts.shape(0); ++s) {
            const std::size_t end = std::size_t(starts(s)) + count;
            if (starts(s) < 0 || (end > slots && (!window || window - 1 + count > slots)))
                throw nb::value_error("transformer: no room in the cache");
        }
    }
    return caches;
}

void run(BoundTransformer& transformer, Array<float, 3> x, Array<const std::int64_t, 1> starts,
         const std::vector<BoundRotation*>& rotations, nb::list keys, nb::list values,
         const std::string& mode, int threads, nb::object hook) {
    const auto layers = transformer.layers();
    if (x.shape(2) != transformer.width() || starts.shape(0) != x.shape(0) || x.shape(1) == 0 ||
        keys.size() != layers.size() || values.size() != layers.size())
        throw nb::value_error("transformer: the arrays do not fit each other");
    if (mode != "exact" && mode != "fast") throw nb::value_error("the mode is exact or fast");
    const auto caches = caches_of(transformer, keys, values, starts, x.shape(1));
    std::vector<Rotation> turns;
    for (const BoundRotation* rotation : rotations) turns.push_back(*rotation);
    check_rotations(layers, turns);
    const Hook call = [&](std::size_t layer, const char* role, int expert, const float* rows,
                          std::size_t count, std::size_t columns) {
        nb::gil_scoped_acquire acquire;
        // A view of memory that is used again afterwards: a hook that keeps the rows must copy them,
        // and a hook that changes them changes the input of the product.
        nb::ndarray<nb::numpy, float> view(const_cast<float*>(rows), {count, columns}, nb::none());
        hook(layer, role, expert, view);
    };
    const std::function<void()> poll = [] {
        nb::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals()) throw nb::python_error();
    };
    const Pass pass{x.data(),
                    x.shape(0),
                    x.shape(1),
                    {starts.data(), starts.shape(0)},
                    turns,
                    caches,
                    mode == "exact" ? Mode::exact : Mode::fast,
                    threads,
                    hook.is_none() ? nullptr : &call,
                    x.shape(1) > 8 ? &poll : nullptr};
    nb::gil_scoped_release release;
    transformer.run(pass);
}

}  // namespace

void zeropoint::bind_transformer(nb::module_& module) {
    bind_parts(module);
    bind_layer(module);
    nb::class_<BoundTransformer>(module, "Transformer")
        .def(nb::init<std::size_t, float, const Vector&, const std::vector<BoundLayer*>&>(), nb::arg("width"),
             nb::arg("epsilon"), nb::arg("output_norm"), nb::arg("layers"))
        .def("run", &run, nb::arg("x"), nb::arg("starts"), nb::arg("rotations"), nb::arg("keys"),
             nb::arg("values"), nb::arg("mode"), nb::arg("threads"), nb::arg("hook").none());
}
