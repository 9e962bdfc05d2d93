"""The table of model families agrees with itself, with transformers and with the tests.

The logits of every family are compared with transformers' in tests/models/test_families.py and
tests/quantizers/test_export.py; here stands that no family is left out there.
"""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import transformers

from support import hf_folders
from support.config_values import base
from support.families import FAMILIES as TINY
from support.setting_uses import PLAIN
from zeropoint.checkpoints.families import FAMILIES, HUGGINGFACE_TYPES, HuggingFaceType, ModelFamily
from zeropoint.checkpoints.names import find_place, huggingface_name
from zeropoint.checkpoints.settings.config_to_gguf import read_configuration
from zeropoint.checkpoints.settings.gguf_to_config import make_config

ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
CONVERTIBLE = {name: kind for name, kind in HUGGINGFACE_TYPES.items() if kind.convertible}
TOKENIZER = {"tokenizer.ggml.tokens": [str(index) for index in range(hf_folders.VOCABULARY)]}


def first_stack(name: str) -> str:
    """The stack of the gate, where a folder joins gate and up."""
    return name.replace("ffn_gate_up_exps", "ffn_gate_exps")


@ALL
def test_names_of_tensors_survive_the_way_there_and_back(family: ModelFamily) -> None:
    whole = ["token_embd.weight", "output_norm.weight", "output.weight"]
    layers = [f"blk.2.{role}.weight" for role in family.roles.values()]
    for name in whole + layers:
        theirs = huggingface_name(name, family)
        assert theirs is not None
        place = find_place(theirs.replace("*", "7"), family)
        assert place is not None and place.name == first_stack(name)
        assert place.expert == (7 if "*" in theirs else None)
    assert huggingface_name("blk.2.ssm_a.weight", family) is None
    assert find_place("model.layers.2.mamba.in_proj.weight", family) is None


@ALL
def test_every_name_of_a_role_is_read(family: ModelFamily) -> None:
    for theirs, ours in family.roles.items():
        place = find_place(f"model.layers.0.{theirs}.bias".replace("*", "3"), family)
        assert place is not None and place.name == first_stack(f"blk.0.{ours}.bias")
    for theirs, ours in family.parameters.items():
        place = find_place(f"model.layers.0.{theirs}", family)
        assert place is not None and place.name == f"blk.0.{ours}"


@ALL
def test_roles_that_a_record_names_are_its_own(family: ModelFamily) -> None:
    roles = set(family.roles.values())
    required = [
        {"attn_output"},
        {"attn_norm", "post_attention_norm"},
        {"attn_norm" if family.single_parts else "ffn_norm", "post_ffw_norm"},
    ]
    if not family.alternating_experts:
        required += [{"ffn_up", "ffn_up_exps", "ffn_gate_up_exps"}, {"ffn_down", "ffn_down_exps"}]
    for some in required:
        assert {family.stored_name(role) for role in some} & roles, some
    assert set(family.permuted_roles) <= roles
    roles |= {name.split(".")[0] for name in family.parameters.values()}
    if family.alternating_experts:
        roles |= {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}
    for kind in family.huggingface:
        assert set(kind.biased_roles).union(*kind.biases.values()) <= roles
    assert not family.permuted_roles or family.interleaved_rope
    assert family.huggingface[-1].needs == frozenset() or len(family.huggingface) == 1


@ALL
def test_classes_of_transformers_exist_and_have_the_settings(family: ModelFamily) -> None:
    for kind in family.huggingface:
        config = getattr(transformers, kind.config_class)
        assert hasattr(transformers, kind.model_class)
        known = {item.name for item in fields(config)} | set(config.attribute_map)
        assert not kind.activation_key or kind.activation_key in known
        assert kind.epsilon_key in known
        assert set(kind.biases) <= known


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_settings_survive_the_way_there_and_back(name: str) -> None:
    """config.json becomes GGUF keys; these become a config.json that gives the same keys."""
    config = base(name) | {"model_type": name}
    there = read_configuration(Path("config.json"), config)
    matrices = ["token_embd.weight"] + ([] if there.tied else ["output.weight"])
    biases = [f"blk.0.{role}.bias" for role in there.biased]
    back = make_config(
        there.metadata | TOKENIZER, matrices + biases, there.constants,  # type: ignore[arg-type]
        there.vocab_size, "float32",
    )  # fmt: skip
    assert back["model_type"] == CONVERTIBLE[name].model_types[0]
    assert hasattr(transformers, str(back["architectures"][0]))  # type: ignore[index]
    again = read_configuration(Path("config.json"), back)
    assert (again.family, again.biased, again.tied) == (there.family, there.biased, there.tied)
    assert again.metadata.keys() == there.metadata.keys()
    for key, value in there.metadata.items():
        np.testing.assert_array_equal(again.metadata[key], value)  # type: ignore[arg-type]


def test_every_family_is_compared_with_transformers() -> None:
    assert {family.architecture for family in TINY.values()} == set(FAMILIES) == set(PLAIN)
    written = {kind for kind, _ in hf_folders.FAMILIES.values()}
    wanted = {kind.config_class.removesuffix("Config") for kind in CONVERTIBLE.values()}
    assert written == wanted


def test_a_type_stands_for_the_models_that_it_can_express() -> None:
    llama = FAMILIES["llama"]

    def name(*features: str) -> str:
        kind: HuggingFaceType = llama.type_for(frozenset(features))  # type: ignore[arg-type]
        return kind.model_types[0]

    assert [name(), name("window"), name("experts"), name("experts", "window")] == [
        "llama", "mistral", "mixtral", "mixtral",
    ]  # fmt: skip
