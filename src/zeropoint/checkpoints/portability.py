"""Which keys of a GGUF file llama.cpp (2026-10) does not read, so that it runs another model."""

from collections.abc import Mapping

from zeropoint.checkpoints.families import FAMILIES


def find_unread_keys(metadata: Mapping[str, object]) -> list[str]:
    """Return the full names of keys that zeropoint follows and llama.cpp ignores.

    A window counts if a context of the model is longer, `expert_weights_norm` if it is false.
    """
    name = str(metadata.get("general.architecture"))
    family = FAMILIES.get(name)
    unread = []
    for key in sorted(family.unread_by_llama_cpp) if family else ():
        value = metadata.get(f"{name}.{key}")
        if not isinstance(value, bool | int | float):
            continue  # an array of them is refused where the model runs
        if key == "attention.sliding_window":
            context = metadata.get(f"{name}.context_length")
            matters = isinstance(value, int) and isinstance(context, int) and 0 < value < context
        else:
            matters = not value if key == "expert_weights_norm" else bool(value)
        if matters:
            unread.append(f"{name}.{key}")
    return unread
