"""Which keys of a GGUF file llama.cpp (2026-10) does not read, so that it runs another model."""

from collections.abc import Mapping

# Key → the architectures whose files have it without effect in llama.cpp.
UNREAD_BY_LLAMA_CPP: Mapping[str, frozenset[str]] = {
    "attention.scale": frozenset({"gemma2", "gemma3"}),
    "attention.sliding_window": frozenset(
        {"llama", "qwen2", "qwen3", "qwen3moe", "smollm3", "phi3"}
    ),
    "expert_weights_norm": frozenset({"qwen3moe"}),
    "rope.scaling.yarn_beta_fast": frozenset({"llama", "qwen2", "qwen3", "qwen3moe", "smollm3"}),
}


def find_unread_keys(metadata: Mapping[str, object]) -> list[str]:
    """Return the keys of a file that zeropoint obeys and llama.cpp does not, with their names.

    A window counts if a context of the model is longer, expert_weights_norm if it is false.
    """
    name = str(metadata.get("general.architecture"))
    found = []
    for key, architectures in UNREAD_BY_LLAMA_CPP.items():
        value = metadata.get(f"{name}.{key}")
        if name not in architectures or not isinstance(value, bool | int | float):
            continue  # an array of them is refused where the model runs
        if key == "attention.sliding_window":
            context = metadata.get(f"{name}.context_length")
            matters = isinstance(value, int) and isinstance(context, int) and 0 < value < context
        else:
            matters = not value if key == "expert_weights_norm" else bool(value)
        if matters:
            found.append(f"{name}.{key}")
    return found
