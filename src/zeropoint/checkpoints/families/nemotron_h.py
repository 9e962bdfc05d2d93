"""Nemotron-H: layers that are Mamba-2, attention or a feed-forward part (arXiv:2504.03624)."""

import numpy as np

from zeropoint.checkpoints.families import mamba2
from zeropoint.checkpoints.families.record import HuggingFaceType, Json, Metadata, ModelFamily
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings

MAMBA, ATTENTION, MLP = "linear_attention", "full_attention", "mlp"
KINDS = ("layers_block_type", "layer_types", "hybrid_override_pattern")  # settings that name them
LETTERS = {"M": MAMBA, "*": ATTENTION, "-": MLP, "E": "moe"}  # of hybrid_override_pattern
OLD_NAMES = {"mamba": MAMBA, "attention": ATTENTION}  # before transformers 5.14
PROJECTIONS = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
# transformers limits Δ from below, but not when it reads a single position. Files have no such
# limit, so it must be small; transformers takes no 0.
NO_MINIMUM, MAX_MINIMUM = 1e-9, 1e-3
UNSTORED = {  # settings and the only value that files can express
    "use_bias": False,
    "sliding_window": None,
    "mamba_hidden_act": "silu",
    "num_nextn_predict_layers": 0,
    # Other names of settings above, which transformers takes too.
    "mamba_n_groups": None,
    "mamba_d_conv": None,
    "mamba_conv_bias": None,
}


def read_settings(family: ModelFamily, settings: Settings) -> Metadata:
    """Return what each layer is, and the sizes of Mamba-2."""
    for key, value in UNSTORED.items():
        if (given := settings.get(key)) not in (None, value):
            raise settings.wrong(key, f"is {given!r}; {family.architecture} files mean {value}")
    settings.get("chunk_size")  # the order of transformers' sums
    if (least := settings.number("time_step_min")) > MAX_MINIMUM:
        raise settings.wrong("time_step_min", f"is {least:g}; files cannot express it")
    kinds = _kinds(settings)
    heads, inner = settings.integer("num_key_value_heads"), settings.integer("intermediate_size")
    return mamba2.sizes(
        heads=settings.integer("mamba_num_heads", minimum=1),
        size=settings.integer("mamba_head_dim", minimum=1),
        groups=settings.integer("n_groups", minimum=1),
        state=settings.integer("ssm_state_size", minimum=1),
        kernel=settings.integer("conv_kernel", minimum=2),
    ) | {
        "attention.head_count_kv": np.array([heads * (k == ATTENTION) for k in kinds], np.int32),
        "feed_forward_length": np.array([inner * (k == MLP) for k in kinds], np.int32),
    }


def _kinds(settings: Settings) -> list[str]:
    keys = [key for key in KINDS if settings.get(key) is not None]
    key = keys[0] if keys else KINDS[0]
    given = settings.get(key)
    for other in keys[1:2]:
        raise settings.wrong(other, f"names the kinds of layers, as {key} does; expected one")
    if isinstance(given, str):
        given = [LETTERS.get(letter, letter) for letter in given]
    if not isinstance(given, list):
        raise settings.wrong(key, "expected a list of names")
    if len(given) != (settings.integer_or_none("num_hidden_layers") or len(given)):
        raise settings.wrong(key, f"names {len(given)} layers; num_hidden_layers says otherwise")
    kinds = [OLD_NAMES.get(str(kind), str(kind)) for kind in given]
    for kind in kinds:
        if kind not in (MAMBA, ATTENTION, MLP):
            raise settings.wrong(
                key, f"layers of the kind {kind} are not supported; {MAMBA}, {ATTENTION}, {MLP} are"
            )
    return kinds


def write_config(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return what each layer is, and the sizes of Mamba-2."""
    kinds = []
    for layer in range(keys.integer("block_count") - keys.integer("nextn_predict_layers", 0)):
        feeds = keys.integer("feed_forward_length", layer=layer)
        attends = keys.integer("attention.head_count_kv", layer=layer)
        kinds.append(MLP if feeds else ATTENTION if attends else MAMBA)
    heads = keys.integer("ssm.time_step_rank", minimum=1)
    return {
        "layers_block_type": kinds,
        "mamba_num_heads": heads,
        "mamba_head_dim": keys.integer("ssm.inner_size") // heads,
        "n_groups": keys.integer("ssm.group_count"),
        "ssm_state_size": keys.integer("ssm.state_size"),
        "conv_kernel": keys.integer("ssm.conv_kernel"),
        "time_step_min": NO_MINIMUM,
    }


DEFAULTS = {
    "time_step_min": MAX_MINIMUM,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 21504,
    "mamba_num_heads": 128,
    "mamba_head_dim": 64,
    "n_groups": 8,
    "ssm_state_size": 128,
    "conv_kernel": 4,
    "layer_norm_epsilon": 1e-5,
    "max_position_embeddings": 4096,
    "use_conv_bias": True,
    "mlp_hidden_act": "relu2",
}
OF_EXPERTS = (
    "n_routed_experts", "n_shared_experts", "num_local_experts", "moe_intermediate_size",
    "moe_shared_expert_intermediate_size", "moe_latent_size", "num_experts_per_tok",
    "routed_scaling_factor", "n_group", "topk_group", "norm_topk_prob",
    "moe_shared_expert_overlap",
)  # fmt: skip
NEMOTRON_H = ModelFamily(
    architecture="nemotron_h",
    huggingface=(
        HuggingFaceType(
            model_types=("nemotron_h",),
            model_class="NemotronHForCausalLM",
            config_class="NemotronHConfig",
            read_settings=read_settings,
            write_config=write_config,
            defaults=DEFAULTS,
            activation_key="mlp_hidden_act",
            layer_lists=KINDS,
            epsilon_key="layer_norm_epsilon",
            biases={
                "attention_bias": ("attn_q", "attn_k", "attn_v", "attn_output"),
                "mlp_bias": ("ffn_up", "ffn_down"),
                "use_conv_bias": ("ssm_conv1d",),
            },
            biased_roles=("ssm_dt",),
            harmless={
                "num_logits_to_keep": "transformers' class does not read it",
                "residual_in_fp32": "transformers' class does not read it",
                "expand": "the heads and their size say the same",
                "mamba_proj_bias": "transformers' class reads use_bias",
                "mamba_ssm_cache_dtype": "states are float32",
                "time_step_max": "only training uses it",
                "time_step_floor": "only training uses it",
                "rescale_prenorm_residual": "only training uses it",
                "use_mamba_kernels": "it chooses an implementation",
                "time_step_limit": "transformers' class reads time_step_min",
                "mtp_layers_block_type": "there are no layers for multi-token prediction",
                **dict.fromkeys(OF_EXPERTS, "no layer has experts"),
            },
        ),
    ),
    roles={"norm": "attn_norm"}
    | {f"mixer.{name}": role for name, role in (PROJECTIONS | mamba2.ROLES).items()},
    parameters={f"mixer.{name}": stored for name, stored in mamba2.PARAMETERS.items()},
    whole_names={"embeddings.weight": "token_embd.weight", "norm_f.weight": "output_norm.weight"},
    changes=mamba2.CHANGES,
    epsilon_keys=("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"),
    activation="relu2",
    gated=False,
    single_parts=True,
    recurrent_mixer="mamba2",
    rope_skip_period=1,
)
