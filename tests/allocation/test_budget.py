"""A budget is never exceeded, by a byte, and nothing that would fit is left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.allocation.budget import (
    SizeBudget,
    assignment_of,
    bits_budget,
    file_budget,
    file_size_of,
    memory_budget,
)
from zeropoint.allocation.menu import Menu, make_menu, recipe_for
from zeropoint.allocation.problem import Assignment, LossTable, TensorGroup
from zeropoint.allocation.solver import solve
from zeropoint.checkpoints import Checkpoint, open_checkpoint
from zeropoint.errors import InfeasibleBudget, RecipeError
from zeropoint.formats import find_format
from zeropoint.plans import Recipe
from zeropoint.plans.machines.catalog import find_device
from zeropoint.plans.memory.cache_shape import read_shape
from zeropoint.plans.memory.memory import PlanWorkload, memory_use
from zeropoint.quantizers import WriteOptions


def random_losses(menu: Menu, seed: int = 0) -> LossTable:
    """Return losses that fall fourfold with every bit, and differ between tensors."""
    random = np.random.default_rng(seed)
    return {
        name: {
            format: float(random.lognormal()) * 4.0 ** -find_format(format).bits_per_weight
            for format in formats
        }
        for name, formats in menu.encodings().items()
    }


def problem(checkpoint: Checkpoint, **options: object) -> tuple[TensorGroup, ...]:
    menu = make_menu(checkpoint, **{"importance": False} | options)  # type: ignore[arg-type]
    return menu.groups(random_losses(menu))


@pytest.mark.parametrize("model", [
    {"experts": 4},
    {"architecture": "gemma3", "columns": 320},  # rows of 320: no blocks of 256; tied
    {},
])  # fmt: skip
def test_the_file_that_is_written_has_the_predicted_size(
    tmp_path: Path, model: dict[str, object]
) -> None:
    path, output = write_model(tmp_path / "m.gguf", **model), tmp_path / "out.gguf"  # type: ignore[arg-type]
    with open_checkpoint(path) as checkpoint:
        groups = problem(checkpoint, tie_fused=True)
        file_bytes = file_size_of(checkpoint, None, WriteOptions())
        budget = bits_budget(checkpoint, 4.4, file_bytes)
        found = budget.solve(groups)
        assignment = assignment_of(groups, found.choices)
        recipe = Recipe.parse(str(recipe_for(checkpoint, assignment)))
    zp.quantize_checkpoint(path, output, to=recipe, rounding="nearest")
    assert output.stat().st_size == file_bytes(assignment) <= budget.limit
    assert budget.limit - output.stat().st_size < 0.02 * budget.limit
    with open_checkpoint(output) as written:
        for name, format in assignment.items():
            assert written.tensors[name].format.name == format


def test_the_smallest_file_fits_its_own_size_and_not_a_byte_less(tmp_path: Path) -> None:
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        groups = problem(checkpoint)
        file_bytes = file_size_of(checkpoint, None, WriteOptions())
        with pytest.raises(InfeasibleBudget) as error:
            file_budget(checkpoint, 1, file_bytes).solve(groups)
        smallest = error.value.smallest
        assert f"{smallest:,} bytes" in str(error.value)
        found = file_budget(checkpoint, smallest, file_bytes).solve(groups)
        assert file_bytes(assignment_of(groups, found.choices)) == smallest
        with pytest.raises(InfeasibleBudget, match="bits per weight"):
            file_budget(checkpoint, smallest - 1, file_bytes).solve(groups)


def test_a_budget_for_everything_is_used_and_a_byte_less_is_not_exceeded(tmp_path: Path) -> None:
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        groups = problem(checkpoint)
        file_bytes = file_size_of(checkpoint, None, WriteOptions())
        best = file_budget(checkpoint, "1GB", file_bytes).solve(groups)
        largest = file_bytes(assignment_of(groups, best.choices))
        assert best.loss == 0
        assert file_budget(checkpoint, largest, file_bytes).solve(groups) == best
        less = file_budget(checkpoint, largest - 1, file_bytes).solve(groups)
        assert file_bytes(assignment_of(groups, less.choices)) < largest


def test_a_header_that_grows_with_the_recipe_is_never_over_the_budget(tmp_path: Path) -> None:
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        groups = problem(checkpoint)
        file_bytes = file_size_of(checkpoint, None, WriteOptions())

        def with_long_recipes(assignment: Assignment) -> int:
            return file_bytes(assignment) + 3000 * len(set(assignment.values()))

        smallest = with_long_recipes(assignment_of(groups, solve(groups, 0x7FFFFFFF).choices))
        for limit in range(260_000, smallest, 40_000):
            found = SizeBudget(limit, with_long_recipes).solve(groups)
            assert with_long_recipes(assignment_of(groups, found.choices)) <= limit


def test_bits_are_those_of_the_whole_file_rounded_down(tmp_path: Path) -> None:
    with open_checkpoint(write_model(tmp_path / "m.gguf", "gemma3", columns=320)) as checkpoint:
        weights = sum(tensor.elements for tensor in checkpoint.tensors.values())
        budget = bits_budget(checkpoint, 4.1, lambda _: 0)
        assert budget.limit == 41 * weights // 80
        for bits in (0, -1, float("nan"), float("inf")):
            with pytest.raises(RecipeError):
                bits_budget(checkpoint, bits, lambda _: 0)


def test_a_budget_of_memory_holds_weights_cache_and_buffers(tmp_path: Path) -> None:
    workload = PlanWorkload(context=512)
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        groups = problem(checkpoint)
        other = memory_use(read_shape(checkpoint), (), workload).total_bytes
        with pytest.raises(InfeasibleBudget, match="context of 512 tokens") as error:
            memory_budget(checkpoint, workload, "1MiB").solve(groups)
        limit = error.value.smallest + 200_000
        budget = memory_budget(checkpoint, workload, limit)
        found = budget.solve(groups)
        used = budget.size_of(assignment_of(groups, found.choices))
        assert 0 <= limit - used < 20_000
        assert other < used
        longer = memory_budget(checkpoint, replace(workload, context=2048), limit)
        with pytest.raises(InfeasibleBudget):
            longer.solve(groups)


def test_a_budget_of_memory_is_at_most_that_of_the_device(tmp_path: Path) -> None:
    device, workload = find_device("rtx3090"), PlanWorkload()
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        usable = device.usable_bytes
        assert memory_budget(checkpoint, workload, device=device).limit == usable
        assert memory_budget(checkpoint, workload, "1TB", device).limit == usable
        assert memory_budget(checkpoint, workload, 1000, device).limit == 1000
        with pytest.raises(RecipeError, match="--runtime-memory"):
            memory_budget(checkpoint, workload)
