"""The native encoders of super-blocks try the same candidates as the specification in Python."""

import re
from pathlib import Path

import numpy as np
import pytest

from zeropoint.formats import FORMATS
from zeropoint.formats.encoders.superblock_min import MinimumSearch
from zeropoint.formats.encoders.superblock_scale import ScaleSearch
from zeropoint.formats.iquants import SearchedIQuant
from zeropoint.formats.kquants import SEARCHES
from zeropoint.formats.nonlinear import IQ4_XS_IMPORTANCE_SEARCH, IQ4_XS_SEARCH

NATIVE = Path(__file__).parents[2] / "native"
PYTHON = SEARCHES | {"IQ4_XS": (IQ4_XS_SEARCH, IQ4_XS_IMPORTANCE_SEARCH)}


def evaluate(text: str) -> object:
    """Return the value of a C++ initializer: numbers, braces and `float(...)`."""
    text = re.sub(r"(?<=[\d.])f\b", "", text.replace("{", "(").replace("}", ",)"))
    return eval(text, {"__builtins__": {}, "float": float, "true": True, "false": False})


def fields(text: str) -> dict[str, object]:
    """Return `.name = value, …` as a dictionary."""
    parts = re.split(r"(?:^|,)\s*\.(\w+) = ", text.strip().rstrip(","))[1:]
    return {name: evaluate(value) for name, value in zip(parts[::2], parts[1::2], strict=True)}


def native_budgets() -> dict[tuple[str, str], dict[str, object]]:
    """Return the budget of each format, without importance ("plain") and with it ("weighted")."""
    found = {}
    for source in NATIVE.rglob("encode_*.cpp"):
        text = re.sub(r"//[^\n]*", "", source.read_text())
        struct = re.search(r"struct SearchBudget \{(.*?)\n\};", text, re.DOTALL)
        if struct is None:
            continue
        defaults = {}
        for line in struct[1].split(";"):
            for name, value in re.findall(r"(\w+)(?:\[\d\])* = (\{.*?\}|[\w.-]+)", line):
                defaults[name] = evaluate(value)
        for name, body in re.findall(r"\nvoid encode_(\w+)\(.*?\{\n(.*?)\n\}", text, re.DOTALL):
            for which, budget in re.findall(r"SearchBudget (\w+)\{(.*?)\};", body, re.DOTALL):
                found[name.upper(), which] = defaults | fields(budget)
    return found


def python_budget(search: ScaleSearch | MinimumSearch) -> dict[str, object]:
    """Return what the native code calls a budget."""
    if isinstance(search, MinimumSearch):
        (shrink, step, steps), (scales, minimums) = search.stretch, search.window
        return {
            "shrink": shrink, "step": step, "steps": steps, "scales": scales, "minimums": minimums,
            "near_scales": search.near[0], "near_minimums": search.near[1],
            "nudges": search.nudges,
        }  # fmt: skip
    names = ("below", "above", "stride", "both_signs", "slacks", "near", "nudges")
    return {name: getattr(search, name) for name in names}


@pytest.mark.parametrize("which", ["plain", "weighted"])
@pytest.mark.parametrize("name", PYTHON)
def test_native_budgets_equal_those_of_python(name: str, which: str) -> None:
    native = native_budgets()[name, which]
    python = python_budget(PYTHON[name][which == "weighted"])
    assert set(native) == set(python)
    for field, value in python.items():
        given, wanted = np.float32(native[field]), np.float32(value)
        assert given.shape == wanted.shape and (given == wanted).all(), field


def test_the_scales_through_the_most_important_weight_are_those_of_python() -> None:
    (source,) = NATIVE.rglob("encode_scale.cpp")
    near = re.search(r"exact_near\[exact_count\] = (\{.*?\});", source.read_text())
    assert near is not None
    native = np.float32(evaluate(near[1]))
    searches = [search for pair in PYTHON.values() for search in pair]
    exact = {search.exact for search in searches if isinstance(search, ScaleSearch)}
    assert len(exact) == 1
    np.testing.assert_array_equal(native, np.float32(exact.pop()))


def test_every_native_budget_has_a_search_in_python() -> None:
    assert {name for name, _ in native_budgets()} == set(PYTHON)


def test_the_native_budget_of_grids_is_that_of_python() -> None:
    source = (NATIVE / "src/codecs/variants/encode_grid.cpp").read_text()
    struct = re.search(r"struct GridBudget \{(.*?)\n\};", source, re.DOTALL)
    assert struct is not None
    values = re.findall(r"(\w+)(?:\[\d\])? = (\{.*?\}|[\w.]+)", struct[1])
    native = {name: np.float32(evaluate(value)).tolist() for name, value in values}
    searches = [format.search for format in FORMATS.values() if isinstance(format, SearchedIQuant)]
    assert len(searches) == 5
    for search in searches:
        assert native == {
            "below": search.below,
            "above": search.above,
            "near": search.near,
            "nudges": np.float32(search.nudges).tolist(),
        }
