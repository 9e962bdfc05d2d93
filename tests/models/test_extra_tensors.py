"""Every tensor of a GGUF file is used, refused by its name, or harmless with a reason.

The list of names is gguf-py's. For each family a file gets one tensor more, or one with other
values. Then it is refused and the message has the name; or logits are what they were, and the name
is harmless; or they are those of transformers' model with the same tensor.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from support.changed_files import Base, Bases, assert_equal_to
from support.families import FAMILIES, VOCABULARY, interleaved, random_model
from support.setting_uses import MIXED, PLAIN
from zeropoint.checkpoints.families import FAMILIES as RECORDS
from zeropoint.checkpoints.names import find_place
from zeropoint.errors import UnsupportedModel, ZeropointError
from zeropoint.models.architecture import read_architecture
from zeropoint.models.unused_settings import HARMLESS_TENSORS

LAYER = 1
FACTORS = ("rope_freqs", "rope_factors_short", "rope_factors_long")
HARMLESS = re.compile(
    r"(blk\.1\.\w+|output)\.input_scale|blk\.1\.(attn_rot_embd(\.weight)?|nextn\..*)|(v|a|mm)\..*"
)
EXAMPLES = (
    *("blk.1.ffn_down.input_scale", "output.input_scale", "blk.1.attn_rot_embd", "mm.0.weight"),
    *("blk.1.nextn.eh_proj.weight", "v.patch_embd.weight", "a.conv1d.1.bias"),
    *("blk.1.attn_sinks.weight", "blk.1.attn_norm.bias", "output_norm.bias"),
    *("blk.1.ffn_gate.weight", "blk.1.ffn_gate_inp.weight", "token_embd.scale"),
)
BASES = [*PLAIN.values(), "mixtral"]


def names_of_gguf() -> Iterator[str]:
    """All names of tensors that gguf-py knows, with each ending that tensors have."""
    for name in dict.fromkeys(gguf.TENSOR_NAMES.values()):
        name = name.replace("{bid}", str(LAYER))
        yield from (name, *(f"{name}.{end}" for end in ("weight", "bias", "scale", "input_scale")))
    yield "blk.1.never_heard_of.weight"


NAMES = sorted(set(names_of_gguf()))


def values_for(base: Base, name: str) -> np.ndarray:
    """Some values for a tensor: of the shape that the file's tensor has, or one that fits."""
    random = np.random.default_rng(len(name))
    info = base.checkpoint.tensors.get(name)
    if info is not None:
        old = base.checkpoint.read(name).data.view(np.float32).reshape(info.shape)
        return old * 1.5 + 0.1
    matrix = base.checkpoint.tensors.get(f"{name.rpartition('.')[0]}.weight")
    if name == "output.weight":
        shape: tuple[int, ...] = (VOCABULARY, 64)
    elif name == "output.bias":
        shape = (VOCABULARY,)
    elif name.endswith(".scale"):
        shape = (matrix.shape[0] if matrix is not None and len(matrix.shape) == 3 else 1,)
    elif name.endswith(".bias") and matrix is not None:
        shape = matrix.shape[:1]
    elif name.removesuffix(".weight") in FACTORS:
        architecture = read_architecture(base.checkpoint)
        attention = next(layer.attention for layer in architecture.layers if layer.attention)
        shape = (attention.rope.dimensions // 2 if attention.rope else 64,)
    else:
        shape = (64,)
    return (1.5 + random.random(shape)).astype(np.float32)


def is_used(base: Base, name: str) -> bool:
    """Whether a family has a place for a tensor, stated once more."""
    if name in base.checkpoint.tensors or name in ("output.weight", "output.scale", "output.bias"):
        return True
    matrix = base.checkpoint.tensors.get(f"{name.rpartition('.')[0]}.weight")
    axes = 0 if matrix is None or "ffn_gate_inp" in name else len(matrix.shape)
    if not name.startswith("blk."):
        return name == "rope_freqs.weight" and RECORDS[base.name].rotates
    return (axes == 2 and name.endswith((".bias", ".scale"))) or (
        axes == 3 and name.endswith(".scale")
    )


def check(base: Base, name: str) -> str:
    """Return the effect of an extra tensor: "used", "harmless" or "refused"."""
    value = values_for(base, name)
    try:
        logits = base.run(base.write(tensors={name: value}))
    except ZeropointError as error:
        pairs = {"rope_factors_short.weight": "_long", "rope_factors_long.weight": "_short"}
        assert name in str(error) or pairs.get(name, "?") in str(error), str(error)
        return "refused"
    return "harmless" if np.array_equal(logits, base.logits) else "used"


def expected(base: Base, name: str) -> str:
    if is_used(base, name):
        return "used"
    return "harmless" if HARMLESS.fullmatch(name) else "refused"


@pytest.mark.parametrize("family", BASES)
def test_a_tensor_is_used_or_harmless_or_refused_by_name(bases: Bases, family: str) -> None:
    """A part of the names for each family here; together these are all that gguf-py knows."""
    base, place = bases(family), BASES.index(family)
    known = [name for name in NAMES if name.endswith(".weight")]
    others = [EXAMPLES[place % len(EXAMPLES)], *NAMES[place :: 20 * len(BASES)]]
    for name in known[place :: len(BASES)] + others:
        assert check(base, name) == expected(base, name), name


@pytest.mark.slow
@pytest.mark.parametrize("family", BASES)
def test_every_tensor_in_every_family(bases: Bases, family: str) -> None:
    base = bases(family)
    for name in NAMES:
        assert check(base, name) == expected(base, name), name


def test_the_tensors_of_a_family_are_not_refused(bases: Bases) -> None:
    """Every tensor that gguf-py lists for an architecture is used by a model of it, or harmless."""
    listed = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
    for architecture in PLAIN:
        arch = listed.get(architecture) or listed.get(architecture.partition("-")[0])
        assert arch is not None
        own = [PLAIN[architecture], *([MIXED[architecture]] if architecture in MIXED else [])]
        for tensor in gguf.MODEL_TENSORS[arch]:
            name = gguf.TENSOR_NAMES[tensor].replace("{bid}", str(LAYER))
            if (architecture == "mistral3" and "_exps" in name) or "gate_inp" in name:
                continue  # there is no such model in transformers
            if name.startswith("dense_"):
                continue  # of models that give embeddings of sentences
            if name.endswith(("ffn_gate_up_exps", ".ssm_in")):
                continue  # joined matrices, which converters write on request or no longer
            if architecture == "granitemoe" and "_shexp" in name:
                continue  # of the type granitemoeshared, which is not supported
            if name.startswith("rope_factors") or (architecture == "phi3" and "attn_" in name):
                continue  # these come in sets; see below
            if architecture == "glm4moe" and name.endswith(("attn_q_norm", "attn_k_norm")):
                continue  # both or none, as `use_qk_norm` says
            tensors = [tensor for family in own for tensor in bases(family).checkpoint.tensors]
            alike = (re.sub(r"^blk\.\d+", f"blk.{LAYER}", tensor) + "." for tensor in tensors)
            if any(tensor.startswith(f"{name}.") for tensor in alike):
                continue  # with another suffix, or in another layer, which may be of another kind
            found = {expected(bases(family), f"{name}.weight") for family in own}
            assert found != {"refused"}, (architecture, name)


Change = Callable[[Any, np.ndarray], None]  # gives transformers' model the tensor


def module_of(model: Any, name: str, architecture: str) -> Any:
    """The module that holds the matrix of a GGUF name."""
    wanted = f"{name.rpartition('.')[0]}.weight"
    for path, module in model.named_modules():
        place = find_place(f"{path}.weight", RECORDS[architecture])
        if place is not None and place.name == wanted:
            return module
    raise KeyError(name)


def multiplied(module: Any, value: Any) -> None:
    module.register_forward_hook(lambda _, inputs, out: out * value.to(out.dtype))


def added(module: Any, value: Any) -> None:
    module.register_forward_hook(lambda _, inputs, out: out + value.to(out.dtype))


def give(base: Base, model: Any, name: str, value: np.ndarray) -> None:
    """Change transformers' model as the tensor says."""
    tensor = torch.from_numpy(value)
    if name == "output.weight":
        model.lm_head.weight = torch.nn.Parameter(tensor)
    elif name == "output.scale":
        multiplied(model.lm_head, tensor)
    elif name == "output.bias":
        added(model.lm_head, tensor)
    elif name in (f"{factor}.weight" for factor in FACTORS):
        rotary = model.model.rotary_emb
        kind = "full_attention_inv_freq" if base.name in ("gemma3", "gemma4") else "inv_freq"
        setattr(rotary, kind, getattr(rotary, kind) / tensor)
    elif name.endswith("_exps.scale"):
        layer = model.model.layers[LAYER]
        parts = ("mlp", "block_sparse_moe", "feed_forward")
        experts = next(getattr(layer, name) for name in parts if hasattr(layer, name)).experts
        half, joined = experts.gate_up_proj.shape[1] // 2, experts.gate_up_proj
        alternating = RECORDS[base.name].alternating_experts
        part = {
            "gate": joined[..., ::2] if alternating else joined[:, :half],
            "up": joined[..., 1::2] if alternating else joined[:, half:],
            "down": experts.down_proj,
        }[name.split("_")[-2]]
        with torch.no_grad():
            part.mul_(tensor[:, None, None])
    elif name.endswith(".scale"):
        with torch.no_grad():
            module_of(model, name, base.name).weight.mul_(tensor)
    else:
        give_bias(base, model, name, tensor)


def give_bias(base: Base, model: Any, name: str, bias: torch.Tensor) -> None:
    if base.family.permuted and re.search(r"attn_[qk]\.", name):
        config = model.config
        heads = config.num_attention_heads if "attn_q" in name else config.num_key_value_heads
        there = torch.empty_like(bias)
        there[interleaved(heads, len(bias))] = bias
        bias = there
    added(module_of(model, name, base.name), bias)


def used_tensors(base: Base) -> list[str]:
    return [name for name in NAMES if is_used(base, name) and (name not in base.checkpoint.tensors)]


def check_values(bases: Bases, family: str, name: str) -> None:
    base = bases(family)
    value = values_for(base, name)
    model = random_model(FAMILIES[family])
    give(base, model, name, value)
    # A norm behind a matrix takes its scale away again, but for rounding.
    moved = name == "output.scale" or not name.endswith(".scale")
    assert_equal_to(base, base.write(tensors={name: value}), model, moved=moved)


@pytest.mark.parametrize("family", BASES)
def test_a_tensor_that_is_used_moves_logits_to_those_of_transformers(
    bases: Bases, family: str
) -> None:
    names = used_tensors(bases(family))
    place = BASES.index(family)
    for name in names[place % len(names) :: len(BASES)]:
        check_values(bases, family, name)


@pytest.mark.slow
@pytest.mark.parametrize("family", BASES)
def test_every_used_tensor_in_every_family(bases: Bases, family: str) -> None:
    for name in used_tensors(bases(family)):
        check_values(bases, family, name)


def test_the_head_s_scale_multiplies_logits_exactly(bases: Bases) -> None:
    base = bases("qwen3")
    doubled = base.run(base.write(tensors={"output.scale": np.array([2.0])}))
    np.testing.assert_array_equal(doubled, 2.0 * base.logits)


@pytest.mark.parametrize("family", BASES)
@pytest.mark.parametrize("kind", ["linear", "longrope", "yarn"])
def test_divisors_decide_over_the_type_of_scaling(bases: Bases, family: str, kind: str) -> None:
    """Both sets together; the long one is that of contexts beyond the original one."""
    base = bases(family)
    if kind != "linear" and family not in ("phi3", "qwen3"):
        return
    if FAMILIES[family].architecture in ("nemotron_h", "gemma4"):  # without such divisors
        return
    names = FACTORS[1:]
    tensors = {f"{name}.weight": values_for(base, f"{name}.weight") for name in names}
    context = {f"{base.name}.rope.scaling.original_context_length": 16}
    for used, keys in ((names[0], {}), (names[1], context)):
        if family == "mistral3":
            used = names[1]  # its original context is short
        model = random_model(FAMILIES[family])
        give(base, model, f"{used}.weight", tensors[f"{used}.weight"])
        more = {} if family in ("mistral3", "gemma3") else {f"{base.name}.rope.scaling.type": kind}
        assert_equal_to(base, base.write(keys | more, tensors), model)


def test_one_set_of_divisors_or_two_kinds_of_them_are_refused(bases: Bases) -> None:
    base = bases("phi3")
    names = [f"{name}.weight" for name in FACTORS]
    for some in (names, names[:2], names[1:2], names[2:]):
        with pytest.raises(ZeropointError, match="rope_f"):
            base.run(base.write(tensors={name: values_for(base, name) for name in some}))


@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_joined_or_separate_queries_keys_and_values_are_the_same(bases: Bases, family: str) -> None:
    base = bases(family)
    parts = [f"blk.{LAYER}.attn_{part}.weight" for part in "qkv"]
    joined = f"blk.{LAYER}.attn_qkv.weight"
    read = {
        name: base.checkpoint.read(name).data.view(np.float32).reshape(info.shape)
        for name, info in base.checkpoint.tensors.items()
        if name in (*parts, joined)
    }
    if joined in read:
        changed = dict(zip(parts, np.split(read[joined], [64, 96]), strict=True))
    else:
        changed = {joined: np.concatenate([read[part] for part in parts])}
    checkpoint = base.write(tensors=changed, without=tuple(read))
    np.testing.assert_array_equal(base.run(checkpoint), base.logits)
    with pytest.raises(UnsupportedModel, match="attn_q"):
        base.run(checkpoint, "transformers")
    with pytest.raises(UnsupportedModel, match=re.escape(parts[0])):
        base.run(base.write(tensors=changed if joined not in changed else changed | read))


def test_every_harmless_tensor_has_a_reason() -> None:
    assert all(len(reason.split()) > 3 for reason in HARMLESS_TENSORS.values())
