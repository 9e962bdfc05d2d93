"""Stacks of experts of gpt-oss: 16-bit weights and MXFP4 blocks, in folders and in files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from support import hf_folders
from zeropoint import kernels
from zeropoint.checkpoints import open_checkpoint, open_model
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS
from zeropoint.plans import choose_formats
from zeropoint.quantizers import WriteOptions, quantize_tensors
from zeropoint.quantizers.export import export_folder

EXPERTS, STACKS = "model.layers.1.mlp.experts", ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


def packed_folder(folder: Path, **changes: torch.Tensor) -> Path:
    """Write a folder whose experts are random MXFP4 blocks."""
    hf_folders.make_folder("gpt-oss", folder)
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(5)
    for name in [name for name in weights if name.endswith("_proj") and "experts" in name]:
        experts, columns, rows = weights.pop(name).shape
        shape = (experts, rows, columns // 32)
        blocks = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
        scales = torch.randint(118, 124, shape, generator=generator, dtype=torch.uint8)
        weights |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
    save_file(weights | changes, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def as_file(folder: Path, output: Path, to: str = "F32") -> Path:
    with open_model(folder) as source:
        choices = choose_formats(source, to)
        list(quantize_tensors(source, choices, output, options=WriteOptions(to=to)))
    return output


def stack(file: Path, role: str) -> np.ndarray:
    with open_checkpoint(file) as source:
        tensor = source.read(f"blk.1.{role}.weight")
        return kernels.decode(tensor.format, tensor.data).reshape(tensor.shape)


def both(weights: Any) -> dict[str, np.ndarray]:
    """GGUF's stacks of one layer's (experts, in, out) weights."""
    gate_up, down = weights["gate_up_proj"], weights["down_proj"]
    found = (gate_up[..., ::2], gate_up[..., 1::2], down)
    return {role: part.transpose(1, 2).numpy() for role, part in zip(STACKS, found, strict=True)}


def test_float_experts_become_stacks(tmp_path: Path) -> None:
    folder = hf_folders.make_folder("gpt-oss", tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    named = {name: weights[f"{EXPERTS}.{name}"] for name in ("gate_up_proj", "down_proj")}
    file = as_file(folder, tmp_path / "model.gguf")
    for role, wanted in both(named).items():
        np.testing.assert_array_equal(stack(file, role), wanted)
    with open_checkpoint(file) as source:
        bias = source.read("blk.1.ffn_up_exps.bias")
        assert bias.format.name == "F32"
        wanted = weights[f"{EXPERTS}.gate_up_proj_bias"][:, 1::2].numpy()
        np.testing.assert_array_equal(bias.data.view("<f4").reshape(wanted.shape), wanted)


@pytest.mark.parametrize("to", ["F32", "BF16"])
def test_mxfp4_experts_keep_their_values(tmp_path: Path, to: str) -> None:
    folder = packed_folder(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    named = {
        name: convert_moe_packed_tensors(
            weights[f"{EXPERTS}.{name}_blocks"], weights[f"{EXPERTS}.{name}_scales"]
        ).float()
        for name in ("gate_up_proj", "down_proj")
    }
    file = as_file(folder, tmp_path / "model.gguf", to)
    with open_checkpoint(file) as source:
        names = [name for name in source.tensors if name.endswith("_exps.weight")]
        assert {source.tensors[name].format.name for name in names} == {"MXFP4"}
        assert source.tensors["blk.0.attn_q.weight"].format.name == to
    for role, wanted in both(named).items():
        np.testing.assert_array_equal(stack(file, role), wanted)


def test_mxfp4_stays_when_the_preset_gives_it_to_experts(tmp_path: Path) -> None:
    folder = packed_folder(tmp_path / "model")
    plain = as_file(folder, tmp_path / "plain.gguf")
    file = as_file(folder, tmp_path / "small.gguf", "MXFP4_MOE")
    with open_checkpoint(plain) as source, open_checkpoint(file) as small:
        assert small.tensors["blk.0.attn_q.weight"].format.name == "Q8_0"
        for role in STACKS:
            name = f"blk.1.{role}.weight"
            np.testing.assert_array_equal(small.read(name).data, source.read(name).data)


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_and_its_file_hold_the_same(tmp_path: Path, packed: bool) -> None:
    folder = tmp_path / "model"
    if packed:
        packed_folder(folder)
    else:
        hf_folders.make_folder("gpt-oss", folder)
    file = as_file(folder, tmp_path / "model.gguf")
    with open_checkpoint(file) as source:
        list(export_folder(source, tmp_path / "back", FORMATS["F32"], threads=1))
    one, other = (load_file(at / "model.safetensors") for at in (folder, tmp_path / "back"))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert other[name].dtype == tensor.dtype and torch.equal(other[name], tensor), name
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert ("quantization_config" in config) == packed
    again = as_file(tmp_path / "back", tmp_path / "again.gguf")
    with open_checkpoint(file) as source, open_checkpoint(again) as back:
        for name in source.tensors:
            np.testing.assert_array_equal(back.read(name).data, source.read(name).data)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("down_proj_blocks", torch.zeros((5, 64, 3), dtype=torch.uint8), "MXFP4 is"),
        ("down_proj_scales", torch.zeros((5, 64, 2), dtype=torch.uint8), "MXFP4 is"),
        ("gate_up_proj_bias", torch.zeros(192), "2 axes"),
    ],
)
def test_stacks_of_another_shape_are_refused(
    tmp_path: Path, name: str, value: torch.Tensor, message: str
) -> None:
    folder = packed_folder(tmp_path / "model", **{f"{EXPERTS}.{name}": value})
    with pytest.raises(CheckpointError, match=message):
        open_model(folder)
