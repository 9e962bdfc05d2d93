"""BitNet: ternary weights, and norms before the output and down projections.

Files are called after the activation: "bitnet" has SiLU, "bitnet-b1.58" (bitnet.cpp) squared ReLU.
"""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.llama import no_entries, rotated_keys
from zeropoint.checkpoints.families.record import HuggingFaceType, Metadata, ModelFamily
from zeropoint.checkpoints.settings.settings import Settings

SUB_NORMS = {"self_attn.attn_sub_norm": "attn_sub_norm", "mlp.ffn_sub_norm": "ffn_sub_norm"}


def read_settings(family: ModelFamily, settings: Settings) -> Metadata:
    """Return how many elements of a head are rotated; a head has hidden_size / heads elements."""
    width, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    if settings.integer_or_none("head_dim") not in (None, width // heads):
        reason = f"{family.architecture} needs {width // heads}, hidden_size / heads"
        raise settings.wrong("head_dim", reason)
    return rotated_keys(family, settings)


BITNET_TYPE = HuggingFaceType(
    model_types=("bitnet",),
    model_class="BitNetForCausalLM",
    config_class="BitNetConfig",
    read_settings=read_settings,
    write_config=no_entries,
    defaults={"num_key_value_heads": 5, "hidden_act": "relu2"},
    rope_theta=5e5,
    biases={"attention_bias": roles.ATTENTION_BIASES},
    ternary_method="bitnet",
)

BITNET = ModelFamily(
    architecture="bitnet",
    huggingface=(BITNET_TYPE,),
    roles=roles.LLAMA | SUB_NORMS,
)
BITNET_B158 = ModelFamily(
    architecture="bitnet-b1.58",
    huggingface=(BITNET_TYPE,),
    roles=roles.LLAMA | SUB_NORMS,
    activation="relu2",
)
