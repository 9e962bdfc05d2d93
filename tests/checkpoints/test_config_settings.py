"""Every setting of a config.json is used, refused by name, or proven to be harmless.

The settings come from transformers' config classes (see `config_cases`). Each gets other legal
values; then our logits must be transformers', or the refusal must name the setting, or, for a
setting in the table of harmless ones, transformers' own logits must not move by a single bit.
"""

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import transformers

from support.config_cases import Trial, base_logits, logits, make_model, write_folder
from support.config_values import (
    BASES,
    Case,
    base,
    cases,
    class_fields,
    is_read,
    other_values,
    settings,
)
from zeropoint.checkpoints import open_model
from zeropoint.checkpoints.families import HUGGINGFACE_TYPES
from zeropoint.checkpoints.settings.config_to_gguf import read_configuration
from zeropoint.checkpoints.settings.settings import HARMLESS

OUTER = ("gemma3", "gemma4")  # they hold gemma3_text and gemma4_text as a text_config
CONVERTIBLE = {name for name, kind in HUGGINGFACE_TYPES.items() if kind.convertible}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Drop what transformers says about unusual settings."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.enable_progress_bar()


def kind_of(case: Case) -> str:
    if not is_read(case):
        return "refused"
    if case.key in {*HARMLESS, *HUGGINGFACE_TYPES[case.family].harmless}:
        return "harmless"
    configuration = read_configuration(Path("config.json"), case.config)
    return "ignored" if configuration.ignored else "used"


def some_cases() -> list[Case]:
    """Return one case for each setting (a used one if there is any), and one for each family and
    kind, without the harmless ones.
    """
    groups: dict[str, list[Case]] = {}
    for family in BASES:
        for case in cases(family):
            kind = kind_of(case)
            if kind == "harmless":
                continue
            groups.setdefault(f"{case.key.split(' ')[0]} {kind}", []).append(case)
            groups.setdefault(f"{family} {kind}", []).append(case)
    used = {name.removesuffix(" used") for name in groups if name.endswith(" used")} - {*BASES}
    for name in [name for name in groups if name.split(" ")[0] in used]:
        if not name.endswith(" used"):
            del groups[name]
    return [group[zlib.crc32(name.encode()) % len(group)] for name, group in groups.items()]


def test_each_setting_in_one_family(tmp_path: Path) -> None:
    trial = Trial(tmp_path, files=False)
    for case in some_cases():
        trial.run(case)
    assert not trial.faults, "\n".join(trial.faults)
    assert trial.outcomes["used"] > 50 and trial.outcomes["refused"] > 12


@pytest.mark.parametrize("family", BASES)
def test_no_harmless_setting_moves_transformers_by_a_bit(family: str) -> None:
    """All of them are changed at once; the slow test changes one after the other."""
    table = {*HARMLESS, *HUGGINGFACE_TYPES[family].harmless} - {
        "return_dict"
    }  # its call needs objects
    harmless = [key for key in settings(family) if key in table]
    assert len(harmless) > 40
    changed = base(family) | {key: other_values(family, key)[0] for key in harmless}
    np.testing.assert_array_equal(logits(make_model(changed)), base_logits(family))


@pytest.mark.slow
@pytest.mark.parametrize("family", BASES)
def test_every_setting_in_every_family_through_every_kind_of_file(
    family: str, tmp_path: Path
) -> None:
    trial = Trial(tmp_path, files=True)
    for case in cases(family):
        trial.run(case)
    assert not trial.faults, "\n".join(trial.faults)
    assert trial.outcomes["not legal in transformers"] < 12


@pytest.mark.parametrize("family", [name for name in sorted(CONVERTIBLE) if name not in OUTER])
def test_no_field_of_a_class_of_transformers_is_only_ignored(family: str) -> None:
    """Each of them, with any value that is not refused, is read or in a table with a reason."""
    fields = class_fields(family)
    for case in cases(family):
        if case.key in fields and is_read(case):
            ignored = read_configuration(Path("config.json"), case.config).ignored
            assert case.key not in ignored, case


def test_every_family_has_a_base() -> None:
    assert {*BASES, *OUTER} == CONVERTIBLE


def test_a_key_that_transformers_ignores_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = base("llama") | {"clip_qkv": 8.0, "unused": None}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    with caplog.at_level(logging.WARNING, "zeropoint"), open_model(folder):
        pass
    assert "clip_qkv" in caplog.text and "unused" not in caplog.text
