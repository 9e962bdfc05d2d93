// Bindings of the whole forward pass (see transformer.hpp). The Bound classes keep alive the Python
// objects whose memory their base refers to.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/states.hpp"
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
        .value("relu2", Activation::relu2)
        .value("sigmoid", Activation::sigmoid)
        .value("clamped_swiglu", Activation::clamped_swiglu);
    nb::enum_<CacheType>(module, "CacheType")
        .value("f32", CacheType::f32)
        .value("f16", CacheType::f16)
        .value("q8_0", CacheType::q8_0)
        .value("q4_0", CacheType::q4_0);
    nb::enum_<Gating>(module, "Gating")
        .value("softmax", Gating::softmax)
        .value("sigmoid", Gating::sigmoid)
        .value("softmax_chosen", Gating::softmax_chosen);
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

void bind_routing(nb::module_& module) {
    nb::class_<Routing>(module, "Routing")
        .def(nb::init<>())
        .def_rw("gating", &Routing::gating)
        .def_rw("used", &Routing::used)
        .def_rw("groups", &Routing::groups)
        .def_rw("used_groups", &Routing::used_groups)
        .def_rw("normalize", &Routing::normalize)
        .def_rw("epsilon", &Routing::epsilon)
        .def_rw("scale", &Routing::scale)
        .def_rw("weights_inputs", &Routing::weights_inputs);
}

// Each property is write-only: Python describes a layer once and passes it to the transformer.
using LayerClass = nb::class_<BoundLayer>;

template <typename Select>  // the layer's Floats
void bind_vector(LayerClass& layer, const char* name, Select select) {
    layer.def_prop_rw(name, nullptr, [select](BoundLayer& self, const Vector& weights) {
        select(self) = floats_of(weights);
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

// A setting of a part of the layer.
template <typename Part, typename Value>
void bind_setting(LayerClass& layer, const char* name, Part LayerConfig::* part, Value Part::* field) {
    layer.def_prop_rw(
        name, [part, field](const BoundLayer& self) { return self.*part.*field; },
        [part, field](BoundLayer& self, Value value) { self.*part.*field = value; });
}

void bind_attention(LayerClass& layer) {
    const auto setting = [&](const char* name, auto AttentionConfig::* field) {
        bind_setting(layer, name, &LayerConfig::attention, field);
    };
    setting("heads", &AttentionConfig::heads);
    setting("kv_heads", &AttentionConfig::kv_heads);
    setting("head_size", &AttentionConfig::head_size);
    setting("value_size", &AttentionConfig::value_size);
    setting("window", &AttentionConfig::window);
    setting("scale", &AttentionConfig::scale);
    setting("softcap", &AttentionConfig::softcap);
    setting("temperature_scale", &AttentionConfig::temperature_scale);
    setting("temperature_length", &AttentionConfig::temperature_length);
    setting("rope", &AttentionConfig::rope);
    setting("normed_values", &AttentionConfig::normed_values);
    setting("shares", &AttentionConfig::shares);
    setting("key_type", &AttentionConfig::key_type);
    setting("value_type", &AttentionConfig::value_type);
    setting("key_rotation", &AttentionConfig::key_rotation);
    setting("value_rotation", &AttentionConfig::value_rotation);
    setting("gated", &AttentionConfig::gated);
    const auto norm = [&](const char* name, Floats AttentionConfig::* field) {
        bind_vector(layer, name, [field](BoundLayer& self) -> Floats& { return self.attention.*field; });
    };
    norm("attn_q_norm", &AttentionConfig::q_norm);
    norm("attn_k_norm", &AttentionConfig::k_norm);
    norm("attn_sub_norm", &AttentionConfig::sub_norm);
    norm("attn_sinks", &AttentionConfig::sinks);
    const auto linear = [&](const char* name, Linear AttentionConfig::* field) {
        bind_linear(layer, name, [field](BoundLayer& self) -> Linear& { return self.attention.*field; });
    };
    bind_linear(layer, "attn_qkv", [](BoundLayer& self) -> Linear& {
        return self.delta_net.size ? self.delta_net.qkv : self.attention.qkv;
    });
    linear("attn_q", &AttentionConfig::q);
    linear("attn_k", &AttentionConfig::k);
    linear("attn_v", &AttentionConfig::v);
    linear("attn_output", &AttentionConfig::output);
}

void bind_delta_net(LayerClass& layer) {
    const auto setting = [&](const char* name, auto DeltaNetConfig::* field) {
        bind_setting(layer, name, &LayerConfig::delta_net, field);
    };
    setting("delta_key_heads", &DeltaNetConfig::key_heads);
    setting("delta_value_heads", &DeltaNetConfig::value_heads);
    setting("delta_size", &DeltaNetConfig::size);
    setting("delta_kernel", &DeltaNetConfig::kernel);
    setting("delta_tiled", &DeltaNetConfig::tiled);
    const auto shared = [&](const char* name, Floats DeltaNetConfig::* field, Floats Mamba2Config::* other) {
        bind_vector(layer, name, [field, other](BoundLayer& self) -> Floats& {
            return self.mamba2.size ? self.mamba2.*other : self.delta_net.*field;
        });
    };
    shared("ssm_conv1d", &DeltaNetConfig::convolution, &Mamba2Config::convolution);
    shared("ssm_a", &DeltaNetConfig::decay, &Mamba2Config::decay);
    shared("ssm_dt", &DeltaNetConfig::shift, &Mamba2Config::time);
    shared("ssm_norm", &DeltaNetConfig::norm, &Mamba2Config::norm);
    const auto linear = [&](const char* name, Linear DeltaNetConfig::* field) {
        bind_linear(layer, name, [field](BoundLayer& self) -> Linear& { return self.delta_net.*field; });
    };
    linear("attn_gate", &DeltaNetConfig::gate);
    linear("ssm_alpha", &DeltaNetConfig::alpha);
    linear("ssm_beta", &DeltaNetConfig::beta);
    linear("ssm_ba", &DeltaNetConfig::both);
    bind_linear(layer, "ssm_out", [](BoundLayer& self) -> Linear& {
        return self.mamba2.size ? self.mamba2.out : self.delta_net.output;
    });
}

void bind_mamba2(LayerClass& layer) {
    const auto setting = [&](const char* name, auto Mamba2Config::* field) {
        bind_setting(layer, name, &LayerConfig::mamba2, field);
    };
    setting("mamba_heads", &Mamba2Config::heads);
    setting("mamba_size", &Mamba2Config::size);
    setting("mamba_groups", &Mamba2Config::groups);
    setting("mamba_state_size", &Mamba2Config::state_size);
    setting("mamba_kernel", &Mamba2Config::kernel);
    bind_vector(layer, "ssm_conv1d_bias", [](BoundLayer& self) -> Floats& { return self.mamba2.shift; });
    bind_vector(layer, "ssm_d", [](BoundLayer& self) -> Floats& { return self.mamba2.direct; });
    bind_linear(layer, "ssm_in", [](BoundLayer& self) -> Linear& { return self.mamba2.in; });
}

void bind_short_convolution(LayerClass& layer) {
    const auto part = [](BoundLayer& self) -> ShortConvolutionConfig& { return self.short_convolution; };
    bind_setting(layer, "shortconv_kernel", &LayerConfig::short_convolution, &ShortConvolutionConfig::kernel);
    bind_vector(layer, "shortconv_conv", [part](BoundLayer& self) -> Floats& { return part(self).weights; });
    bind_linear(layer, "shortconv_in_proj", [part](BoundLayer& self) -> Linear& { return part(self).in; });
    bind_linear(layer, "shortconv_out_proj", [part](BoundLayer& self) -> Linear& { return part(self).out; });
}

void bind_feed_forward(LayerClass& layer) {
    bind_vector(layer, "ffn_sub_norm", [](BoundLayer& self) -> Floats& { return self.dense.sub_norm; });
    bind_linear(layer, "ffn_gate", [](BoundLayer& self) -> Linear& { return self.dense.gate; });
    bind_linear(layer, "ffn_up", [](BoundLayer& self) -> Linear& { return self.dense.up; });
    bind_linear(layer, "ffn_down", [](BoundLayer& self) -> Linear& { return self.dense.down; });
    bind_linear(layer, "ffn_gate_inp", [](BoundLayer& self) -> Linear& { return self.experts.router; });
    bind_experts(layer, "ffn_gate_exps", &ExpertConfig::gate);
    bind_experts(layer, "ffn_gate_up_exps", &ExpertConfig::gate);
    bind_experts(layer, "ffn_up_exps", &ExpertConfig::up);
    bind_experts(layer, "ffn_down_exps", &ExpertConfig::down);
    const auto shared = [&](const char* name, Linear DenseConfig::* field) {
        bind_linear(layer, name, [field](BoundLayer& self) -> Linear& { return self.experts.shared.*field; });
    };
    shared("ffn_gate_shexp", &DenseConfig::gate);
    shared("ffn_up_shexp", &DenseConfig::up);
    shared("ffn_down_shexp", &DenseConfig::down);
    const auto vector = [&](const char* name, Floats ExpertConfig::* field) {
        bind_vector(layer, name, [field](BoundLayer& self) -> Floats& { return self.experts.*field; });
    };
    vector("selection_bias", &ExpertConfig::selection_bias);
    vector("router_norm", &ExpertConfig::router_norm);
    vector("post_ffw_norm_1", &ExpertConfig::dense_norm);
    vector("pre_ffw_norm_2", &ExpertConfig::norm);
    vector("post_ffw_norm_2", &ExpertConfig::post_norm);
    vector("ffn_gate_inp_shexp", &ExpertConfig::shared_gate);
    bind_setting(layer, "routing", &LayerConfig::experts, &ExpertConfig::routing);
}

void bind_layer(nb::module_& module) {
    LayerClass layer(module, "LayerConfig");
    layer.def(nb::init<>())
        .def_rw("activation", &BoundLayer::activation)
        .def_rw("output_scale", &BoundLayer::output_scale)
        .def_rw("residual_scale", &BoundLayer::residual_scale);
    const auto norm = [&](const char* name, Floats LayerConfig::* field) {
        bind_vector(layer, name, [field](BoundLayer& self) -> Floats& { return self.*field; });
    };
    norm("attn_norm", &LayerConfig::attn_norm);
    norm("post_attention_norm", &LayerConfig::post_attention_norm);
    norm("ffn_norm", &LayerConfig::ffn_norm);
    norm("post_ffw_norm", &LayerConfig::post_ffw_norm);
    bind_linear(layer, "inp_gate", [](BoundLayer& self) -> Linear& { return self.input.gate; });
    bind_linear(layer, "proj", [](BoundLayer& self) -> Linear& { return self.input.projection; });
    bind_vector(layer, "post_norm", [](BoundLayer& self) -> Floats& { return self.input.norm; });
    bind_attention(layer);
    bind_delta_net(layer);
    bind_short_convolution(layer);
    bind_mamba2(layer);
    bind_feed_forward(layer);
}

void check_rotations(std::span<const LayerConfig> layers, const std::vector<Rotation>& rotations) {
    for (const LayerConfig& layer : layers) {
        const AttentionConfig& part = layer.attention;
        if (part.rope >= 0 &&
            (std::size_t(part.rope) >= rotations.size() || 2 * rotations[part.rope].pairs() > part.head_size))
            throw nb::value_error("transformer: rotation");
    }
}

void run(BoundTransformer& transformer, Array<float, 3> x, Array<const std::int64_t, 1> starts,
         const std::vector<BoundRotation*>& rotations, nb::list states, const Vector& inputs,
         const std::string& mode, int threads, nb::object hook) {
    const auto layers = transformer.layers();
    if (x.shape(2) != transformer.width() || starts.shape(0) != x.shape(0) || x.shape(1) == 0)
        throw nb::value_error("transformer: the arrays do not fit each other");
    if (mode != "exact" && mode != "fast") throw nb::value_error("the mode is exact or fast");
    const auto caches = caches_of(transformer, states, starts, x.shape(1));
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
                    floats_of(inputs),
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
    bind_routing(module);
    bind_layer(module);
    nb::class_<BoundTransformer>(module, "Transformer")
        .def(nb::init<std::size_t, float, const Vector&, const std::vector<BoundLayer*>&>(), nb::arg("width"),
             nb::arg("epsilon"), nb::arg("output_norm"), nb::arg("layers"))
        .def("run", &run, nb::arg("x"), nb::arg("starts"), nb::arg("rotations"), nb::arg("states"),
             nb::arg("inputs"), nb::arg("mode"), nb::arg("threads"), nb::arg("hook").none());
}
