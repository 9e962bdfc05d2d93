"""The solver finds what an exhaustive search finds, to the last byte and the last bit of a loss."""

import itertools
import math
import pickle
import time

import numpy as np
import pytest

from zeropoint.allocation.problem import FormatOption, TensorGroup
from zeropoint.allocation.relaxation import LossUnit
from zeropoint.allocation.solver import FrontierPoint, frontier, smallest_choice, solve
from zeropoint.cli.exits import NO, Exits
from zeropoint.errors import InfeasibleBudget

FORMATS = ["IQ1_S", "IQ2_XXS", "IQ2_S", "Q2_K", "IQ3_XXS", "IQ3_S", "IQ4_XS", "Q4_K", "Q5_K",
           "Q6_K", "Q8_0", "BF16"]  # fmt: skip
BITS = [1.5625, 2.0625, 2.5625, 2.625, 3.0625, 3.4375, 4.25, 4.5, 5.5, 6.5625, 8.5, 16.0]


def group(name: str, *options: tuple[int, float]) -> TensorGroup:
    made = (FormatOption(f"F{n}", nbytes, loss) for n, (nbytes, loss) in enumerate(options))
    return TensorGroup((name,), tuple(made))


def all_sums(groups: list[TensorGroup]) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes, and the losses in units, of all choices."""
    unit = LossUnit.of(groups)
    nbytes = losses = np.zeros(1, np.int64)
    for g in groups:
        nbytes = np.add.outer(nbytes, [option.nbytes for option in g.options]).ravel()
        losses = np.add.outer(losses, [unit.integer(o.loss) for o in g.options]).ravel()
    return nbytes, losses


def random_groups(random: np.random.Generator, kind: str) -> list[TensorGroup]:
    """Return up to six groups: with ties, with sizes in proportion, or with losses like a model."""
    groups = []
    for number in range(random.integers(1, 7)):
        count = int(random.integers(1, 6))
        if kind == "ties":
            options = [(int(random.integers(1, 6)), float(random.integers(0, 5)))
                       for _ in range(count)]  # fmt: skip
        elif kind == "arbitrary":
            losses = random.normal(size=count) * 10.0 ** random.integers(-9, 3, count)
            options = [(int(random.integers(1, 10**9)), float(loss)) for loss in losses]
        else:
            weights, scale = 256 * int(random.integers(1, 4)), float(random.lognormal())
            options = [
                (int(weights * bits / 8), scale * 4.0**-bits * float(random.lognormal(0, 0.3)))
                for bits in random.choice(BITS, count, replace=False)
            ]
        groups.append(group(f"t{number}", *options))
    return groups


@pytest.mark.parametrize("kind", ["ties", "arbitrary", "model"])
def test_the_solver_equals_an_exhaustive_search(kind: str) -> None:
    random, infeasible = np.random.default_rng(15), 0
    for number in range(350):
        groups = random_groups(random, kind)
        low = smallest_choice(groups).nbytes
        high = sum(max(option.nbytes for option in g.options) for g in groups)
        budgets = {low - 1, (low, low + 1, high - 1, high)[number % 4]}
        budgets.add(int(random.integers(low, high + 1)))
        unit, (nbytes, losses) = LossUnit.of(groups), all_sums(groups)
        for budget in budgets:
            fitting = np.flatnonzero(nbytes <= budget)
            if not len(fitting):
                infeasible += 1
                with pytest.raises(InfeasibleBudget) as error:
                    solve(groups, budget)
                assert error.value.smallest == low
                continue
            found = solve(groups, budget)
            chosen = [g.options[c] for g, c in zip(groups, found.choices, strict=True)]
            best = fitting[np.lexsort((nbytes[fitting], losses[fitting]))[0]]
            assert found.nbytes == nbytes[best]
            assert sum(unit.integer(o.loss) for o in chosen) == losses[best]
            assert found.nbytes == sum(o.nbytes for o in chosen) <= budget
            assert found.loss == math.fsum(o.loss for o in chosen)
            assert found.gap == 0
    assert infeasible >= 350


def test_a_budget_that_one_byte_less_makes_infeasible_names_the_smallest_size() -> None:
    groups = [group("a", (100, 2.0), (60, 3.0)), group("b", (50, 1.0), (41, 1.5))]
    assert solve(groups, 101).choices == (1, 1)
    with pytest.raises(InfeasibleBudget, match="101 bytes"):
        solve(groups, 100)


def test_one_byte_more_buys_the_next_option() -> None:
    groups = [group("a", (10, 2.0), (20, 1.0)), group("b", (10, 2.0), (21, 0.5))]
    assert solve(groups, 29).choices == (0, 0)
    assert solve(groups, 30).choices == (1, 0)
    assert solve(groups, 31).choices == (0, 1)
    assert solve(groups, 40).choices == (0, 1)
    assert solve(groups, 41).choices == (1, 1)


def test_equal_losses_are_decided_by_bytes_and_then_by_the_order_of_the_menu() -> None:
    assert solve([group("a", (20, 1.0), (10, 1.0))], 30).choices == (1,)
    assert solve([group("a", (20, 1.0), (20, 1.0))], 30).choices == (0,)


def test_losses_that_differ_in_the_last_bit_are_told_apart() -> None:
    low, high = 0.1, math.nextafter(0.1, 1)
    assert solve([group("a", (10, high), (11, low))], 11).choices == (1,)


def test_negative_losses_are_allowed() -> None:
    assert solve([group("a", (10, 0.0), (11, -0.5)), group("b", (1, 0.0))], 12).choices == (1, 0)


def test_a_loss_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="a has a loss that is not finite"):
        solve([group("a", (10, math.nan))], 12)


def test_no_groups_have_an_empty_solution() -> None:
    assert solve([], 0).choices == ()


def realistic(layers: int, width: int, hidden: int, kv: int, vocabulary: int) -> list[TensorGroup]:
    """Return groups with the sizes of a real model and losses that fall fourfold with a bit."""
    random = np.random.default_rng(layers)
    sizes = [width * width, width * kv, width * kv, width * width, *[width * hidden] * 3] * layers
    groups = []
    for number, weights in enumerate([*sizes, vocabulary * width]):
        scale = float(random.lognormal(-4, 1.2)) * (weights / 1e6) ** 0.6
        groups.append(group(f"t{number}", *(
            (int(weights * bits / 8), scale * 4.0 ** (2 - bits) * float(random.lognormal(0, 0.25)))
            for bits in BITS
        )))  # fmt: skip
    return groups


@pytest.mark.parametrize("bits", [1.7, 2.6, 4.5, 8.2])
def test_models_of_real_size_are_solved_exactly_and_fast(bits: float) -> None:
    groups = realistic(80, 8192, 28672, 1024, 128256)  # 561 tensors, as in a 70B model
    budget = int(sum(g.options[-1].nbytes for g in groups) * bits / 16)
    start = time.process_time()
    found = solve(groups, budget)
    assert time.process_time() - start < 20  # seconds; 0.6 on the machine it was written on
    assert found.gap == 0
    assert 0 <= budget - found.nbytes < min(g.options[0].nbytes for g in groups)


def test_with_too_few_states_the_gap_covers_the_exact_solution() -> None:
    random = np.random.default_rng(3)
    gaps = []
    for _ in range(20):
        groups = [group(str(n), *((int(random.integers(1, 1000)), float(random.random()))
                                  for _ in range(8))) for n in range(30)]  # fmt: skip
        budget = smallest_choice(groups).nbytes + 3000
        exact, limited = solve(groups, budget), solve(groups, budget, max_states=4)
        assert limited.nbytes <= budget
        assert exact.loss <= limited.loss
        assert limited.loss - exact.loss <= limited.gap + 1e-12  # rounding of two sums
        gaps.append(limited.gap)
    assert max(gaps) > 0


def test_the_frontier_is_convex_and_no_solution_lies_below_it() -> None:
    groups = realistic(2, 64, 192, 32, 300)
    corners = frontier(groups)
    assert corners[0].nbytes == smallest_choice(groups).nbytes
    assert corners[-1].loss == pytest.approx(sum(min(o.loss for o in g.options) for g in groups))
    slopes = [(a.loss - b.loss) / (b.nbytes - a.nbytes) for a, b in itertools.pairwise(corners)]
    assert all(b <= a * (1 + 1e-9) for a, b in itertools.pairwise(slopes))
    for corner in corners[::5]:
        found = solve(groups, corner.nbytes)
        assert FrontierPoint(found.nbytes, pytest.approx(corner.loss)) == corner
    bytes_, losses = [c.nbytes for c in corners], [c.loss for c in corners]
    for budget in range(corners[0].nbytes, corners[-1].nbytes, 4999):
        found = solve(groups, budget)
        assert found.loss >= np.interp(found.nbytes, bytes_, losses) - 1e-9


def test_an_infeasible_budget_is_a_negative_answer_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Exits() as exits:
        solve([group("a", (1000, 1.0))], 999)
    assert exits.code == NO
    said = capsys.readouterr().err
    assert "999 bytes" in said
    assert "1,000 bytes" in said


def test_the_error_of_an_infeasible_budget_survives_the_way_between_processes() -> None:
    error = InfeasibleBudget("too small", smallest=7)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.smallest) == ("too small", 7)
