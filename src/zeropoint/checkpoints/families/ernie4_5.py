"""ERNIE 4.5, the dense models: a Llama whose rotary pairs are neighbours in transformers too."""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.llama import no_entries, rotated_keys
from zeropoint.checkpoints.families.record import HuggingFaceType, ModelFamily

ERNIE4_5 = ModelFamily(
    architecture="ernie4_5",
    huggingface=(
        HuggingFaceType(
            model_types=("ernie4_5",),
            model_class="Ernie4_5ForCausalLM",
            config_class="Ernie4_5Config",
            read_settings=rotated_keys,
            write_config=no_entries,
            defaults={"num_key_value_heads": 2, "head_dim": 128, "tie_word_embeddings": True},
            rope_theta=5e5,
            biases={"use_bias": roles.ATTENTION_BIASES + roles.MLP_BIASES},
        ),
    ),
    roles=roles.LLAMA,
    interleaved_rope=True,
    unread_by_llama_cpp=frozenset({"rope.scaling.yarn_beta_fast"}),
)
