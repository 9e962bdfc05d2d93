"""Menus offer what can be written and loaded, and an assignment becomes the same formats again."""

from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.allocation.menu import Menu, make_menu, recipe_for
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import RecipeError
from zeropoint.formats import FORMATS, UNQUANTIZED
from zeropoint.kernels import has_encoder
from zeropoint.plans import Recipe, choose_formats
from zeropoint.plans.formats.presets import NEED_IMPORTANCE
from zeropoint.plans.speed.format_speed import CPU_SECONDS_PER_WEIGHT, slow_formats

ENCODERS = {name for name in FORMATS if name not in UNQUANTIZED and has_encoder(name)}


def menu_of(path: Path, profile: str = "any", **options: object) -> Menu:
    with open_checkpoint(path) as checkpoint:
        return make_menu(checkpoint, profile, **{"importance": True} | options)  # type: ignore[arg-type]


def formats_by_name(menu: Menu) -> dict[str, tuple[str, ...]]:
    return {name: entry.formats for entry in menu.entries for name in entry.names}


def test_every_matrix_is_on_the_menu_with_every_encoder_and_its_own_format(tmp_path: Path) -> None:
    formats = formats_by_name(menu_of(write_model(tmp_path / "m.gguf")))
    assert {"token_embd.weight", "output.weight", "blk.0.ffn_down.weight"} <= set(formats)
    assert not any("norm" in name for name in formats)
    for offered in formats.values():
        assert set(offered) == ENCODERS | {"F16"}
        assert offered[-1] == "F16"


def test_experts_are_on_the_menu_and_their_router_is_not(tmp_path: Path) -> None:
    menu = menu_of(write_model(tmp_path / "m.gguf", experts=4))
    formats = formats_by_name(menu)
    assert "IQ2_XXS" in formats["blk.0.ffn_gate_exps.weight"]
    assert not any("gate_inp" in name for name in formats)
    entry = next(e for e in menu.entries if e.names == ("blk.1.ffn_up_exps.weight",))
    bytes_of = dict(zip(entry.formats, entry.nbytes, strict=True))
    assert bytes_of["Q4_K"] == 4 * 512 * 256 // 256 * 144


def test_the_formats_are_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    for entry in menu_of(write_model(tmp_path / "m.gguf"), tie_fused=True).entries:
        assert list(entry.nbytes) == sorted(entry.nbytes)


def test_rows_without_blocks_of_256_have_the_formats_with_small_blocks(tmp_path: Path) -> None:
    formats = formats_by_name(menu_of(write_model(tmp_path / "m.gguf", "gemma3", columns=320)))
    small = {name for name in ENCODERS if 320 % FORMATS[name].block_size == 0}
    assert set(formats["blk.0.attn_q.weight"]) == small | {"F16"}
    assert {"Q4_0", "IQ4_NL", "Q5_1", "Q8_0", "MXFP4", "Q2_0"} <= small
    assert set(formats["blk.0.ffn_down.weight"]) == ENCODERS | {"F16"}  # rows of 512
    assert "output.weight" not in formats  # tied: one matrix


def test_without_importance_the_formats_that_need_it_are_left_out(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    for offered in formats_by_name(menu_of(path, importance=False)).values():
        assert set(offered) == ENCODERS - NEED_IMPORTANCE | {"F16"}
    with pytest.raises(RecipeError, match="IQ2_S without importance"):
        menu_of(path, importance=False, formats=["IQ2_S", "Q8_0"])


@pytest.mark.parametrize(("profile", "some_slow", "some_fast"), [
    ("cpu", {"Q2_0", "MXFP4", "NVFP4", "TQ1_0"}, {"Q4_K", "IQ2_XXS", "Q4_0", "Q8_0"}),
    ("gpu", {"TQ1_0", "TQ2_0"}, {"Q4_K", "IQ2_XXS", "MXFP4", "Q8_0"}),
    ("any", set(), ENCODERS),
])  # fmt: skip
def test_a_profile_leaves_out_what_is_slow(
    tmp_path: Path, profile: str, some_slow: set[str], some_fast: set[str]
) -> None:
    for offered in formats_by_name(menu_of(write_model(tmp_path / "m.gguf"), profile)).values():
        assert set(offered) == ENCODERS - slow_formats(profile) | {"F16"}
        assert not some_slow & set(offered)
        assert some_fast <= set(offered)


def test_the_speed_of_every_format_is_known() -> None:
    assert set(CPU_SECONDS_PER_WEIGHT) == ENCODERS


def test_only_the_formats_that_are_named_are_offered(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", "gemma3", columns=320)
    formats = formats_by_name(menu_of(path, "cpu", formats=["q4_k", "MXFP4"]))
    assert formats["blk.0.ffn_down.weight"] == ("MXFP4", "Q4_K")
    assert formats["blk.0.attn_q.weight"] == ("MXFP4",)
    formats = formats_by_name(menu_of(path, formats=["Q4_K", "keep"]))
    assert formats["blk.0.ffn_down.weight"] == ("Q4_K", "F16")
    assert formats["blk.0.attn_q.weight"] == ("F16",)


@pytest.mark.parametrize("names", [["Q9_0"], ["INT4_SYM_G128"], ["Q4_K_M"]])
def test_a_format_that_no_file_can_have_is_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(RecipeError):
        menu_of(write_model(tmp_path / "m.gguf"), formats=names)


def test_an_unknown_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="supported: any, cpu, gpu"):
        menu_of(write_model(tmp_path / "m.gguf"), "tpu")


def test_larger_formats_than_the_source_has_are_not_offered(tmp_path: Path) -> None:
    formats = formats_by_name(menu_of(write_model(tmp_path / "m.gguf", format="Q4_0")))
    offered = formats["blk.0.ffn_down.weight"]
    assert offered[-1] == "Q4_0"
    assert not {"Q8_0", "Q4_K", "Q5_0", "IQ4_NL"} & set(offered)


@pytest.mark.parametrize("experts", [0, 4])
def test_fused_matrices_share_a_format(tmp_path: Path, experts: int) -> None:
    menu = menu_of(write_model(tmp_path / "m.gguf", experts=experts), tie_fused=True)
    names = {entry.names for entry in menu.entries}
    end = "_exps.weight" if experts else ".weight"
    for layer in ("blk.0", "blk.1"):
        assert tuple(f"{layer}.attn_{part}.weight" for part in "qkv") in names
        assert tuple(f"{layer}.ffn_{part}{end}" for part in ("gate", "up")) in names
        assert (f"{layer}.ffn_down{end}",) in names
        assert (f"{layer}.attn_output.weight",) in names
    single = {entry.names[0]: entry for entry in menu_of(tmp_path / "m.gguf").entries}
    for entry in menu.entries:
        for format, nbytes in zip(entry.formats, entry.nbytes, strict=True):
            parts = (single[name] for name in entry.names)
            assert nbytes == sum(p.nbytes[p.formats.index(format)] for p in parts)


def test_losses_become_the_options_of_groups_and_keeping_a_format_loses_nothing(
    tmp_path: Path,
) -> None:
    menu = menu_of(write_model(tmp_path / "m.gguf"), formats=["Q4_K", "keep"], tie_fused=True)
    losses = {name: {"Q4_K": 1.0} for name in menu.encodings()}
    for entry, group in zip(menu.entries, menu.groups(losses), strict=True):
        assert [o.loss for o in group.options] == [float(len(entry.names)), 0.0]
        assert tuple(o.nbytes for o in group.options) == entry.nbytes


@pytest.mark.parametrize(
    "model",
    [{}, {"experts": 4}, {"architecture": "gemma3", "columns": 320}, {"format": "BF16"},
     {"architecture": "qwen2"}],
)  # fmt: skip
def test_any_assignment_is_the_choice_that_its_recipe_makes(
    tmp_path: Path, model: dict[str, object]
) -> None:
    path = write_model(tmp_path / "m.gguf", **model)  # type: ignore[arg-type]
    random = np.random.default_rng(1)
    with open_checkpoint(path) as checkpoint:
        menu = make_menu(checkpoint, importance=True)
        for _ in range(30):
            few = random.integers(0, 26, 3)  # layers share formats, as in a real recipe
            picks = [int(random.choice(few)) % len(entry.formats) for entry in menu.entries]
            assignment = menu.assignment(picks)
            recipe = Recipe.parse(str(recipe_for(checkpoint, assignment)))
            choices = {c.name: c for c in choose_formats(checkpoint, recipe, imatrix=True)}
            for name, choice in choices.items():
                expected = assignment.get(name, checkpoint.tensors[name].format.name)
                assert choice.format.name == expected
                assert not choice.fallback
