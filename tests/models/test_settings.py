"""Every key of a GGUF file is used, refused by its name, or harmless with a reason.

The list of keys is gguf-py's. For each family a file gets one of them with another value. Then it
is refused and the message has the key; or logits are what they were, and the key is harmless; or
they are those that `setting_uses` expects.
"""

from collections.abc import Iterator

import gguf
import numpy as np
import pytest

from support.changed_files import Base, Bases, assert_equal_to
from support.setting_uses import (
    HARMLESS,
    MIXED,
    PLAIN,
    REFUSED_NAMESPACES,
    STRUCTURE,
    USES,
    WITHOUT_EFFECT,
    Use,
)
from zeropoint.checkpoints import open_checkpoint
from zeropoint.checkpoints.settings.harmless_keys import (
    HARMLESS_KEYS,
    HARMLESS_PARTS,
    NEUTRAL_VALUES,
)
from zeropoint.errors import ZeropointError
from zeropoint.models import load_model
from zeropoint.models.header import ModelHeader
from zeropoint.models.unused_settings import is_harmless


def keys_of_gguf() -> Iterator[str]:
    """All keys that gguf-py knows, "{arch}." left in front, and two that only llama.cpp knows."""
    for group in vars(gguf.Keys).values():
        for name, key in vars(group).items() if isinstance(group, type) else ():
            if isinstance(key, str) and not name.startswith("__"):
                for place, text in (("{id}", "0"), ("{name}", "tool"), ("{dense}", "dense_2")):
                    key = key.replace(place, text)
                yield key
    yield from ("{arch}.hidden_activation", "{arch}.rope.scale_linear", "{arch}.never_heard_of")


KEYS = sorted(set(keys_of_gguf()))
OWN = [key.removeprefix("{arch}.") for key in KEYS if key.startswith("{arch}.")]
OTHERS = [key for key in KEYS if not key.startswith("{arch}.")]
# Values that are legal for the type of some key, and neutral for none.
VALUES: tuple[object, ...] = (3, 0.375, "odd", [3, 5])


def base_for(bases: Bases, architecture: str, key: str) -> Base:
    """The file that a key is tried on: one with experts for their keys."""
    mixed = key.startswith("expert") and architecture in MIXED
    return bases(MIXED[architecture] if mixed else PLAIN[architecture])


def check_use(bases: Bases, use: Use, architecture: str) -> None:
    base = bases(use.bases[architecture], tuple(use.context.items()))
    checkpoint = base.write({f"{architecture}.{use.key}": use.value})
    assert_equal_to(base, checkpoint, use.answer(base.family), use.engines)


# It decides on the size of heads too.
BY_LAYER = {("gemma4", "attention.sliding_window_pattern")}


def check_other(base: Base, key: str, value: object) -> str:
    """A key of the architecture that no `Use` is about: "refused" or "harmless"."""
    full = f"{base.name}.{key}"
    if key in base.family.keys and np.array_equal(value, base.family.keys[key]):
        return "the value that it has"
    try:
        checkpoint = base.write({full: value})
        logits = base.run(checkpoint)
    except ZeropointError as error:
        shapes = (
            ("blk.", "token_embd", "rope.dimension_count", "shared_kv_layers")
            if key in STRUCTURE or (base.name, key) in BY_LAYER
            else ()
        )
        assert any(name in str(error) for name in (full, *shapes)), str(error)
        assert key not in HARMLESS or value is not VALUES[0], str(error)
        return "refused"
    assert np.array_equal(logits, base.logits), f"{full} = {value} moves logits"
    if key == "context_length":
        assert load_model(checkpoint, threads=1).context_length == value
    elif key not in WITHOUT_EFFECT.get(base.name, ()):
        assert is_harmless(ModelHeader(checkpoint), key, value), f"{full} = {value} is not read"
        assert HARMLESS_KEYS[key] if key in HARMLESS else NEUTRAL_VALUES[key]
    return "harmless"


def uses_of(architecture: str) -> list[Use]:
    return [use for use in USES if architecture in use.bases]


def others_of(architecture: str) -> list[str]:
    used = {use.key for use in uses_of(architecture)}
    # Of the others that a family uses, a value alone does not show it: they stand in every file.
    return [key for key in OWN if key not in used or key in STRUCTURE]


ONE_OF_EACH = [(list(use.bases)[i % len(use.bases)], use) for i, use in enumerate(USES)]
ALL_USES = [(name, use) for name in PLAIN for use in uses_of(name)]


def title(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} keys"
    return value.key if isinstance(value, Use) else str(value)


@pytest.mark.parametrize(("architecture", "use"), ONE_OF_EACH, ids=title)
def test_a_used_key_moves_logits_to_those_of_transformers(
    bases: Bases, architecture: str, use: Use
) -> None:
    check_use(bases, use, architecture)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "use"), ALL_USES, ids=title)
def test_every_used_key_in_every_family(bases: Bases, architecture: str, use: Use) -> None:
    check_use(bases, use, architecture)


def one_family_for_each_key() -> dict[str, list[str]]:
    """The keys that each family tries: every key once, in a family that does not use it."""
    found: dict[str, list[str]] = {name: [] for name in PLAIN}
    for place, key in enumerate(OWN):
        families = [name for name in PLAIN if key in others_of(name)]
        if families:
            found[families[place % len(families)]].append(key)
    return found


@pytest.mark.parametrize(("architecture", "keys"), one_family_for_each_key().items(), ids=title)
def test_a_key_that_is_not_used_is_refused_by_name_or_harmless(
    bases: Bases, architecture: str, keys: list[str]
) -> None:
    for key in keys:
        how = check_other(base_for(bases, architecture, key), key, VALUES[0])
        expected = key in HARMLESS or key in WITHOUT_EFFECT.get(architecture, ())
        assert (how == "harmless") == expected, key


@pytest.mark.slow
@pytest.mark.parametrize("architecture", PLAIN)
def test_every_key_that_is_not_used_in_every_family(bases: Bases, architecture: str) -> None:
    for key in others_of(architecture):
        base = base_for(bases, architecture, key)
        found = {check_other(base, key, value) for value in VALUES}
        expected = key in HARMLESS or key in WITHOUT_EFFECT.get(architecture, ())
        assert ("harmless" in found) == expected, key


@pytest.mark.parametrize("architecture", ["llama", pytest.param("gemma3", marks=pytest.mark.slow)])
def test_keys_outside_of_the_architecture_do_not_move_logits(
    bases: Bases, architecture: str
) -> None:
    base = bases(PLAIN[architecture])
    for key in OTHERS:
        if key in ("general.architecture", "general.alignment", "general.type"):  # tested elsewhere
            continue
        header = dict(base.checkpoint.metadata) | {key: "odd"}
        checkpoint = open_checkpoint(base.path)
        checkpoint.metadata = header  # type: ignore[assignment]
        try:
            assert np.array_equal(base.run(checkpoint), base.logits), key
            assert not key.startswith(REFUSED_NAMESPACES), key
        except ZeropointError as error:
            assert key in str(error)
            assert key.startswith(REFUSED_NAMESPACES), key


@pytest.mark.parametrize("key", sorted(NEUTRAL_VALUES.keys() - {"rope.scale_linear"}))
def test_a_neutral_value_is_taken_where_no_layer_uses_the_key(bases: Bases, key: str) -> None:
    base = bases("bitnet")
    for value in NEUTRAL_VALUES[key]:
        assert check_other(base, key, value) == "harmless"
    for value in (17, -3.5):
        with pytest.raises(ZeropointError, match=f"bitnet.{key}"):
            base.run(base.write({f"bitnet.{key}": value}))


# Values that a table of neutral ones could hold by mistake: each means another model.
MEANINGFUL: dict[str, object] = {
    "attention.causal": False,
    "attention.clamp_kqv": 0.5,
    "attention.max_alibi_bias": 8.0,
    "attention.sliding_window": 1,
    "attention.temperature_scale": 0.1,
    "embedding_scale": 0.5,
    "expert_gating_func": 2,
    "expert_weights_norm": False,
    "final_logit_softcapping": 1.0,
    "logit_scale": 0.5,
    "residual_scale": 2.0,
    "rope.scaling.alpha": 2.0,
    "rope.scaling.yarn_attn_factor": 0.0,
    "rope.scaling.yarn_beta_fast": 1.0,
    "rope.scaling.yarn_beta_slow": 0.0,
    "rope.scaling.yarn_ext_factor": 1.0,
    "use_parallel_residual": True,
}


@pytest.mark.parametrize("key", MEANINGFUL)
def test_a_value_that_means_another_model_is_refused(bases: Bases, key: str) -> None:
    base = bases("mixtral" if key.startswith("expert") else "bitnet")
    assert check_other(base, key, MEANINGFUL[key]) == "refused"


@pytest.mark.parametrize(("key", "value"), [("ext_factor", 0.5), ("attn_factor", 0.5)])
def test_factors_of_yarn_that_no_other_runtime_reads_are_refused(
    bases: Bases, key: str, value: float
) -> None:
    base = bases("qwen3")
    yarn = {f"qwen3.rope.scaling.{k}": v for k, v in (("type", "yarn"), ("factor", 4.0))}
    full = f"qwen3.rope.scaling.yarn_{key}"
    with pytest.raises(ZeropointError, match=full):
        base.run(base.write(yarn | {full: value}))
    assert np.array_equal(base.run(base.write(yarn | {full: 1.0})), base.run(base.write(yarn)))


def test_every_harmless_entry_has_a_reason() -> None:
    for table in (HARMLESS_KEYS, HARMLESS_PARTS):
        assert all(len(reason.split()) > 3 or reason.startswith("as ") for reason in table.values())
    assert HARMLESS_KEYS.keys() <= HARMLESS | {"classifier.pooling_type"}
