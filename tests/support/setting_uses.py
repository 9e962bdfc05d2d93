"""Effect of each GGUF key in the families that use it: a value, and transformers' result.

Where transformers has the setting, the answer is its model with another configuration. Where it has
none, the answer is its model changed by hand, as the formula of the key says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from support.families import LAYERS, SMALL, Family, T, random_model
from zeropoint.models.loading import Engine

# The tiny model of each architecture. Keys of experts are tried on one that has some.
PLAIN = {
    "llama": "llama",
    "mistral3": "mistral3",
    "smollm3": "smollm3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3 moe",
    "phi3": "phi3",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "bitnet": "bitnet",
    "bitnet-b1.58": "bitnet relu",
    "ernie4_5": "ernie4_5",
    "seed_oss": "seed_oss",
    "qwen35": "qwen35",
    "qwen35moe": "qwen35 moe",
    "qwen3next": "qwen3 next",
    "lfm2": "lfm2",
    "lfm2moe": "lfm2moe",
    "nemotron_h": "nemotron_h",
    "olmo2": "olmo2",
    "granite": "granite",
    "granitemoe": "granitemoe",
    "gpt-oss": "gpt-oss",
    "ernie4_5-moe": "ernie4_5 moe",
    "glm4moe": "glm4moe",
    "gemma4": "gemma4",
}
MIXED = {
    "llama": "mixtral",
    "qwen3moe": "qwen3 moe",
    "granitemoe": "granitemoe",
    "gpt-oss": "gpt-oss",
    "lfm2moe": "lfm2moe",
    "ernie4_5-moe": "ernie4_5 moe",
    "glm4moe": "glm4moe",
    "gemma4": "gemma4 moe",
}

Answer = Callable[[Family], Any]  # the transformers model that a file with the key must equal


@dataclass(frozen=True)
class Use:
    """A key with a value, in files that may need other keys for it to matter."""

    key: str
    value: object
    answer: Answer
    bases: Mapping[str, str] = field(default_factory=lambda: PLAIN)
    context: Mapping[str, object] = field(default_factory=dict)
    engines: tuple[Engine, ...] = ("compiled", "transformers")  # the others refuse it


def configured(**options: Any) -> Answer:
    """The model with other options."""
    return lambda family: random_model(family, **options)


def turned(**rope: Any) -> Answer:
    """The model with other rotary parameters, of Gemma 3 those of layers that see everything."""

    def answer(family: Family) -> Any:
        found = parameters(family, rope)
        if family.architecture == "gpt-oss":
            found["truncate"] = False
        if family.architecture != "phi3" or found["rope_type"] == "default":
            return random_model(family, rope_parameters=found)
        return changed(partial(borrow, found))(family)  # their Phi-3 knows longrope only

    return answer


def borrow(rope: Mapping[str, Any], model: Any) -> None:
    """Turn as a Llama does whose heads are as long as the part that turns."""
    size = 2 * model.model.rotary_emb.inv_freq.numel()
    rope = {key: value for key, value in rope.items() if key != "partial_rotary_factor"}
    donor = T.LlamaConfig(**SMALL | {"head_dim": size, "rope_parameters": rope})
    theirs = LlamaRotaryEmbedding(donor)
    model.model.rotary_emb.inv_freq = theirs.inv_freq
    model.model.rotary_emb.attention_scaling = theirs.attention_scaling


def parameters(family: Family, more: Mapping[str, Any]) -> dict[str, Any]:
    now: dict[str, Any] = dict(family.config(**family.options).rope_parameters)
    if "full_attention" not in now:
        return {**now, **more}
    return now | {"full_attention": {**now["full_attention"], **more}}


def changed(change: Callable[[Any], None]) -> Answer:
    """The model after a change of its modules."""

    def answer(family: Family) -> Any:
        model = random_model(family)
        change(model)
        return model

    return answer


def without_last_layer(model: Any) -> None:
    del model.model.layers[-1]
    model.config.num_hidden_layers -= 1


def scaled(model: Any) -> None:
    for layer in model.model.layers:
        for name in ("self_attn", "mixer"):
            if hasattr(layer, name):
                getattr(layer, name).scaling = 0.5


def longer(model: Any) -> None:
    rotary = model.model.rotary_emb
    for name in [name for name in vars(rotary) if name.endswith("attention_scaling")]:
        setattr(rotary, name, getattr(rotary, name) * 1.3)


def stronger_experts(model: Any) -> None:
    for layer in model.model.layers:
        names = ("mlp", "block_sparse_moe", "feed_forward")
        part = next(getattr(layer, name) for name in names if hasattr(layer, name))
        if hasattr(part, "experts"):
            part.experts.register_forward_hook(lambda module, inputs, out: out * 2.5)


def softmax_scores_of_lfm2(model: Any) -> None:
    """Routers with the softmax of all experts instead of the sigmoid of each."""

    def route(module: Any, inputs: Any, out: Any) -> Any:
        rows, bias = inputs
        scores = torch.softmax(torch.nn.functional.linear(rows, module.weight), dim=-1)
        chosen = (scores + bias).topk(module.top_k, dim=-1)[1]
        shares = scores.gather(-1, chosen)
        return out[0], shares / (shares.sum(dim=-1, keepdim=True) + 1e-6), chosen

    for layer in model.model.layers:
        if hasattr(layer.feed_forward, "gate"):
            layer.feed_forward.gate.register_forward_hook(route)


def softmax_scores(model: Any) -> None:
    """Routers with the softmax of all experts instead of the sigmoid of each."""

    def route(module: Any, inputs: Any, out: Any) -> Any:
        rows = inputs[0].reshape(-1, module.hidden_dim)
        scores = torch.softmax(torch.nn.functional.linear(rows, module.weight), dim=-1)
        groups = (scores + module.e_score_correction_bias).view(len(rows), module.num_group, -1)
        best = groups.topk(2, dim=-1)[0].sum(dim=-1).topk(module.topk_group, dim=-1)[1]
        hidden = torch.ones(len(rows), module.num_group, dtype=torch.bool).scatter(1, best, False)
        ranked = groups.masked_fill(hidden[:, :, None], -torch.inf).flatten(1)
        chosen = ranked.topk(module.top_k, dim=-1)[1]
        shares = scores.gather(1, chosen)
        shares = shares / (shares.sum(dim=-1, keepdim=True) + 1e-20)
        return out[0], shares * module.routed_scaling_factor, chosen

    for layer in model.model.layers:
        if hasattr(layer.mlp, "gate"):
            layer.mlp.gate.register_forward_hook(route)


def second_base(model: Any) -> None:
    """Windowed layers turn with a base of their own, which Gemma 2 in transformers cannot have."""
    size = model.config.head_dim
    base = 500.0 ** (torch.arange(0, size, 2).float() / size)

    def turn(module: Any, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        cosine, _ = named["position_embeddings"]
        angles = torch.arange(cosine.shape[1])[None, :, None] * (1.0 / base).float()
        both = torch.cat([angles, angles], dim=-1).to(cosine.dtype)
        return inputs, named | {"position_embeddings": (both.cos(), both.sin())}

    for layer in model.model.layers:
        if layer.self_attn.sliding_window is not None:
            layer.self_attn.register_forward_pre_hook(turn, with_kwargs=True)


def windowed(family: Family) -> Any:
    """Layers see five positions: all of them, or those that are windowed anyway."""
    if family.architecture == "llama":
        return random_model(replace(family, config=T.MistralConfig), sliding_window=5)
    if family.architecture == "olmo2":
        return olmo3(family)
    kinds: dict[str, Any] = {}
    if family.architecture in ("qwen2", "qwen3", "smollm3"):
        kinds["layer_types"] = ["sliding_attention"] * LAYERS
    if family.architecture.startswith("gemma"):
        return random_model(family, sliding_window=5)
    return random_model(family, sliding_window=5, use_sliding_window=True, **kinds)


def olmo3(family: Family, local: float = 10000.0, **options: Any) -> Any:
    """OLMo 3: what OLMo 2 with windows is. Windowed layers may have a base of their own."""
    bases = {"full_attention": 10000.0, "sliding_attention": local}
    sets = {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}
    made = replace(family, config=T.Olmo3Config)
    return random_model(made, rope_parameters=sets, **{"sliding_window": 5} | options)


def without_rotation(model: Any) -> None:
    model.model.rotary_emb.inv_freq.zero_()


def patterned(*windows: bool) -> Answer:
    """Layers with and without a window, in this order, over and over."""

    def answer(family: Family) -> Any:
        layers = family.options["num_hidden_layers"]
        kinds = ["sliding" if windows[i % len(windows)] else "full" for i in range(layers)]
        types = [f"{kind}_attention" for kind in kinds]
        if family.architecture == "olmo2":
            return olmo3(family, layer_types=types)
        return random_model(family, sliding_window=5, use_sliding_window=True, layer_types=types)

    return answer


def activated(name: str) -> Answer:
    return lambda family: random_model(
        family, hidden_act=name, hidden_activation=name, mlp_hidden_act=name
    )


def only(*names: str) -> dict[str, str]:
    return {name: PLAIN[name] for name in names}


def but(*names: str) -> dict[str, str]:
    return {name: base for name, base in PLAIN.items() if name not in names}


YARN = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}
THEIR_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
FAR = YARN | {"rope.scaling.original_context_length": 1024}
THEIR_FAR = THEIR_YARN | {"original_max_position_embeddings": 1024}
LINEAR = {"rope.scaling.type": "linear", "rope.scaling.yarn_log_multiplier": 0.0}
FIVE = LINEAR | {"rope.scaling.factor": 5.0}
WINDOW = {"attention.sliding_window": 5}
HYBRID = ("qwen35", "qwen35moe", "qwen3next")
WINDOWED = but(
    "gemma", "bitnet", "bitnet-b1.58", "ernie4_5", "seed_oss", *HYBRID, "granite", "granitemoe",
    "lfm2", "lfm2moe", "nemotron_h", "ernie4_5-moe", "glm4moe",
)  # fmt: skip
PATTERNED = only("qwen2", "qwen3", "smollm3", "gemma2", "olmo2", "gpt-oss")
GRANITE = only("granite", "granitemoe")
ROTATED = but("nemotron_h")
SCALED = but("nemotron_h", "gemma4")
EPSILONS = dict.fromkeys(("rms_norm_eps", "norm_eps", "layer_norm_epsilon"), 0.25)
GELU = [name for name in PLAIN if name.startswith("gemma")]

USES = (
    Use("nextn_predict_layers", 1, changed(without_last_layer), but("gemma4")),
    Use("attention.layer_norm_rms_epsilon", 0.25, configured(**EPSILONS)),
    Use("attention.layer_norm_epsilon", 0.25, configured(**EPSILONS), only("nemotron_h")),
    Use("attention.scale", 0.5, changed(scaled), but("gemma4")),
    Use("attention.sliding_window", 5, windowed, WINDOWED),
    Use("attention.sliding_window_pattern", 3, patterned(True, True, False), PATTERNED, WINDOW),
    Use(
        "attention.sliding_window_pattern", [False, True, False, True], patterned(False, True),
        PATTERNED, WINDOW,
    ),
    Use(
        "attention.sliding_window_pattern", 4, patterned(True, True, True, False),
        only("gemma3"), WINDOW,
    ),
    Use(
        "attn_logit_softcapping", 3.0, configured(attn_logit_softcapping=3.0), only("gemma2"),
    ),
    Use(
        "final_logit_softcapping", 3.0, configured(final_logit_softcapping=3.0),
        only("gemma2", "gemma3", "gemma4"),
    ),
    Use(
        "hidden_activation", "gelu_pytorch_tanh", activated("gelu_pytorch_tanh"),
        but(*GELU, *HYBRID, "gpt-oss", "lfm2", "lfm2moe"),
    ),
    Use("hidden_activation", "silu", activated("silu"), only(*GELU)),
    Use("rope.freq_base", 500.0, turned(rope_theta=500.0), ROTATED),
    Use("rope.freq_base_swa", 500.0, changed(second_base), only("gemma2"),
        engines=("compiled",)),
    Use(
        "rope.freq_base_swa", 500.0,
        lambda family: random_model(family, rope_parameters=family.options["rope_parameters"] | {
            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}}),
        only("gemma3", "gemma4"),
    ),
    Use(
        "rope.freq_base_swa", 500.0, lambda family: olmo3(family, 500.0), only("olmo2"), WINDOW,
    ),
    Use(
        "rope.scaling.finetuned", False, changed(without_rotation), only("granite"),
        engines=("compiled",),
    ),
    Use("embedding_scale", 2.5, configured(embedding_multiplier=2.5), GRANITE),
    Use("residual_scale", 0.6, configured(residual_multiplier=0.6), GRANITE),
    Use("logit_scale", 2.5, configured(logits_scaling=2.5), GRANITE),
    Use("rope.dimension_count", 8, turned(partial_rotary_factor=0.5), only("phi3")),
    Use("rope.scaling.type", "none", turned(rope_type="default"), SCALED, FIVE),
    Use("rope.scaling.factor", 5.0, turned(rope_type="linear", factor=5.0), SCALED, LINEAR),
    Use(
        "rope.scale_linear", 5.0, turned(rope_type="linear", factor=5.0), SCALED,
        LINEAR | {"rope.scaling.factor": 0.0},
    ),
    Use("rope.scaling.attn_factor", 1.3, changed(longer), SCALED),
    Use(
        "rope.scaling.original_context_length", 8,
        turned(**THEIR_YARN | {"original_max_position_embeddings": 8}), SCALED, YARN,
    ),
    Use("rope.scaling.yarn_beta_fast", 4.0, turned(**THEIR_FAR, beta_fast=4.0), SCALED, FAR),
    Use("rope.scaling.yarn_beta_slow", 0.0625, turned(**THEIR_FAR, beta_slow=0.0625), SCALED, FAR),
    Use(
        "rope.scaling.yarn_log_multiplier", 0.75,
        turned(**THEIR_YARN, mscale=1.0, mscale_all_dim=0.75), SCALED, YARN,
    ),
    Use(
        "attention.temperature_scale", 0.75, turned(llama_4_scaling_beta=0.75), only("mistral3"),
    ),
    Use("expert_used_count", 1, configured(num_experts_per_tok=1, top_k_experts=1), MIXED),
    Use(
        "expert_weights_norm", False, configured(norm_topk_prob=False),
        {"qwen3moe": "qwen3 moe", "glm4moe": "glm4moe"},
    ),
    Use(
        "expert_gating_func", 1, changed(softmax_scores_of_lfm2), only("lfm2moe"),
        engines=("compiled",),
    ),
    Use("expert_group_used_count", 1, configured(topk_group=1), only("glm4moe")),
    Use("expert_group_count", 2, configured(n_group=2), only("glm4moe")),
    Use("expert_gating_func", 1, changed(softmax_scores), only("glm4moe"), engines=("compiled",)),
    Use("expert_weights_scale", 2.5, changed(stronger_experts), MIXED),
)  # fmt: skip

# Keys that say what the tensors' shapes say too: another value contradicts a tensor.
STRUCTURE = frozenset(
    """attention.head_count attention.head_count_kv attention.key_length attention.value_length
    block_count embedding_length expert_count expert_feed_forward_length
    expert_shared_count expert_shared_feed_forward_length feed_forward_length
    interleave_moe_layer_step leading_dense_block_count rope.dimension_count
    attention.key_length_swa attention.value_length_swa rope.dimension_count_swa
    attention.shared_kv_layers embedding_length_per_layer_input
    attention.recurrent_layers ssm.conv_kernel
    ssm.group_count ssm.inner_size ssm.state_size ssm.time_step_rank""".split()
)

# Keys that an architecture reads, but that have no effect beside another key or for text.
WITHOUT_EFFECT: Mapping[str, tuple[str, ...]] = {
    "qwen3moe": ("feed_forward_length",),  # of layers without experts
    "nemotron_h": ("rope.dimension_count", "rope.freq_base"),
    "qwen35": ("full_attention_interval", "rope.dimension_sections"),
    "qwen35moe": ("full_attention_interval", "rope.dimension_sections", "feed_forward_length"),
    "qwen3next": ("full_attention_interval", "feed_forward_length"),
}

# The keys that are taken with any value, stated once more.
HARMLESS = frozenset(
    """vocab_size tensor_data_layout pooling_type classifier.output_labels rope.scaling.finetuned
    attention.layer_norm_epsilon context_length""".split()
)
REFUSED_NAMESPACES = ("adapter.", "diffusion.", "xielu.")
