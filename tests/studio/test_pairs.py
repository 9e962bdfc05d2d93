"""Pairs of models that forms, the chat and the pages of a model begin with."""

import os
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.studio.data.job_forms import FORMS, QUANTIZE_TARGETS, forms_for
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.model_pairs import header_of, pair_of


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A large and a small file of one model, and two other models, the latest files."""
    files = (("big", "llama", "F16"), ("small", "llama", "Q8_0"),
             ("other", "gemma3", "F16"), ("third", "qwen2", "Q8_0"))  # fmt: skip
    for age, (name, architecture, format) in enumerate(files):
        path = write_model(tmp_path / f"{name}.gguf", architecture, format=format)
        os.utime(path, (1000 + age, 1000 + age))
    return Library(tmp_path)


def entry(library: Library, name: str) -> LibraryEntry:
    return next(one for one in library.listing().of("model") if one.name == name)


def names(library: Library, one: str | None = None) -> tuple[str, str] | None:
    models = library.listing().of("model")
    pair = pair_of(models, entry(library, one) if one else None)
    return pair and (pair.reference.name, pair.quant.name)


def test_a_pair_has_one_architecture_and_shape_and_the_larger_is_the_reference(
    library: Library,
) -> None:
    pair = ("big.gguf", "small.gguf")
    assert names(library) == pair, "though the latest files are of other models"
    assert names(library, "big.gguf") == names(library, "small.gguf") == pair
    assert names(library, "other.gguf") is None and names(library, "third.gguf") is None


def test_models_of_one_architecture_and_different_shapes_are_no_pair(tmp_path: Path) -> None:
    write_model(tmp_path / "a.gguf", columns=256, format="F16")
    write_model(tmp_path / "b.gguf", columns=320, format="Q8_0")
    assert names(Library(tmp_path)) is None


def test_a_form_without_a_pair_says_what_to_do_first(library: Library) -> None:
    (with_pair,) = forms_for(library, ["measure"])
    assert with_pair["advice"] == ""
    (without,) = forms_for(library, ["measure"], entry(library, "other.gguf"))
    assert "Make a model smaller first" in without["advice"]
    (quantized,) = forms_for(library, ["quantize"], entry(library, "third.gguf"))
    assert "already quantized" in quantized["advice"]
    (first,) = forms_for(library, ["quantize"])
    chosen = {field["key"]: field["usual"] for field in first["fields"]}
    assert chosen["model"] == entry(library, "big.gguf").id, "not a file that is quantized already"
    assert first["advice"] == ""


def test_a_file_that_is_no_model_belongs_to_nothing(tmp_path: Path) -> None:
    write_model(tmp_path / "a.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 40)
    library = Library(tmp_path)
    assert header_of(entry(library, "broken.gguf")) is None
    assert names(library) is None


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.gguf", format="F16")
    before = header_of(entry(Library(tmp_path), "a.gguf"))
    path.unlink()
    write_model(path, format="Q8_0")
    after = header_of(entry(Library(tmp_path), "a.gguf"))
    assert before and after and (before.quantized, after.quantized) == (False, True)
    assert before.shape == after.shape and before.parameters == after.parameters


def test_every_target_that_is_offered_can_be_written() -> None:
    assert {"Q4_K_M", "Q8_0"} <= set(QUANTIZE_TARGETS) and "COPY" not in QUANTIZE_TARGETS
    (target,) = (field for field in FORMS["quantize"].fields if field.key == "to")
    assert [name for name, _ in target.options] == list(QUANTIZE_TARGETS)
