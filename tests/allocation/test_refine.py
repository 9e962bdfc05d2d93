"""The short search follows true losses, stays within its budget, and repeats itself."""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import pytest

from zeropoint.allocation.budget import SizeBudget
from zeropoint.allocation.factors import CLASSES, LossModel, classes_of, fit_factors
from zeropoint.allocation.judge import ChunkLosses
from zeropoint.allocation.problem import Assignment, FormatOption, TensorGroup
from zeropoint.allocation.refine import Candidate, RecipeJudged, Refinement

BITS = {"Q2_K": 2.6, "Q3_K": 3.4, "Q4_K": 4.5, "Q5_K": 5.5, "Q6_K": 6.6}
ROLES = ("attn_q", "attn_v", "attn_output", "ffn_up", "ffn_down")
NAMES = [f"blk.{layer}.{role}.weight" for layer in range(8) for role in ROLES]
WEIGHTS = 1024
TABLE = {
    name: {
        format: (1 + index % 7) * 1e-3 * 4.0**-bits for format, bits in BITS.items()
    }
    for index, name in enumerate(NAMES)
}  # fmt: skip
GROUPS = [
    TensorGroup((name,), tuple(
        FormatOption(format, int(bits * WEIGHTS / 8), TABLE[name][format])
        for format, bits in BITS.items()
    ))
    for name in NAMES
]  # fmt: skip
SIZES = {format: int(bits * WEIGHTS / 8) for format, bits in BITS.items()}
BUDGET = int(4.0 * WEIGHTS / 8) * len(NAMES)
CHUNKS = 12


@dataclass
class SyntheticJudge:
    """True losses: the predicted ones times a factor for each role, with some noise by chunk."""

    factors: dict[str, float]
    noise: float = 0.02
    calls: int = 0

    def loss(self, assignment: Assignment) -> float:
        return sum(
            TABLE[name][format] * self.factors.get(name.split(".")[2], 1.0)
            for name, format in assignment.items()
        )

    def evaluate(self, assignment: Assignment) -> Generator[str, None, ChunkLosses]:
        self.calls += 1
        yield "progress"
        spread = np.random.default_rng(0).normal(1, 0.3, CHUNKS)  # the chunks' own difficulty
        own = np.random.default_rng(self.calls).normal(1, self.noise, CHUNKS)
        means = self.loss(assignment) * spread * own
        return ChunkLosses(means, 10 * means)


def refinement(budget: int = BUDGET) -> Refinement:
    weights = np.full(CHUNKS, 1 / CHUNKS)
    return Refinement(
        GROUPS, LossModel(TABLE), tensor_budget(budget), weights, speed=lambda assignment: 1.0
    )


def tensor_budget(limit: int) -> SizeBudget:
    """A budget of the bytes of tensors alone."""
    return SizeBudget(limit, lambda chosen: sum(SIZES[format] for format in chosen.values()))


def chosen(search: Refinement, judge: SyntheticJudge, evaluations: int) -> Candidate:
    """Run a search to its end."""
    steps = search.run(judge.evaluate, evaluations)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Candidate = end.value
            return found


def test_a_search_without_evaluations_returns_what_is_predicted_to_be_best() -> None:
    judge, search = SyntheticJudge({}), refinement()
    found = chosen(search, judge, 0)
    assert judge.calls == 0 and found.losses is None
    assert found.predicted == pytest.approx(search.model.predicted(found.assignment))


def test_true_losses_correct_a_wrong_prediction() -> None:
    """Values cost 12 times what is predicted. The search gets most of what knowing that gains."""
    judge = SyntheticJudge({"attn_v": 12.0, "ffn_up": 0.4}, noise=0.005)
    search = refinement()
    start = search.propose(("", np.zeros(len(CLASSES)), ()))
    known = np.zeros(len(CLASSES))
    known[CLASSES.index("attention values")] = np.log(12.0)
    known[CLASSES.index("ffn_gate and ffn_up")] = np.log(0.4)
    ideal = search.propose(("", known, ()))
    found = chosen(search, judge, 16)
    before, after, least = (judge.loss(one.assignment) for one in (start, found, ideal))
    assert least < 0.8 * before
    assert after - least < 0.25 * (before - least)


def test_no_recipe_is_over_budget_and_none_is_evaluated_twice() -> None:
    judge, search = SyntheticJudge({"ffn_down": 3.0}), refinement()
    found = chosen(search, judge, 24)
    assert judge.calls == len(search.candidates) <= 24
    keys = {tuple(sorted(one.assignment.items())) for one in search.candidates}
    assert len(keys) == len(search.candidates)
    for one in search.candidates:
        assert one.tensor_bytes == sum(SIZES[f] for f in one.assignment.values()) <= BUDGET
    assert found in search.candidates


def test_of_two_exchanges_of_one_tensor_the_later_one_counts() -> None:
    no_factors = np.zeros(len(CLASSES))
    for last in range(len(BITS)):
        found = refinement().propose(("", no_factors, ((0, 1), (3, 0), (0, last))))
        assert found.assignment[NAMES[0]] == list(BITS)[last]
        assert found.assignment[NAMES[3]] == next(iter(BITS))


def test_the_same_losses_give_the_same_recipe() -> None:
    runs = []
    for _ in range(2):
        search = refinement()
        chosen(search, SyntheticJudge({"attn_q": 5.0}), 12)
        runs.append([(one.change, dict(one.assignment)) for one in search.candidates])
    assert runs[0] == runs[1]


def test_a_search_ends_when_the_smallest_steps_do_not_help() -> None:
    """With losses as predicted and no noise, nothing is better than the first recipe."""
    judge, search = SyntheticJudge({}, noise=0.0), refinement()
    found = chosen(search, judge, 10_000)
    assert judge.calls < 1000
    assert judge.loss(found.assignment) == min(judge.loss(c.assignment) for c in search.candidates)


@pytest.mark.parametrize(
    ("shift", "smaller", "faster", "expected"),
    [
        (-0.2, False, False, True),  # shown to be better
        (0.2, True, True, False),  # shown to be worse, however small and fast
        (0.001, True, False, True),  # as good, and smaller
        (0.001, False, True, True),  # as good and as large, and faster
        (0.001, False, False, False),  # as good, as large and as fast: the mean decides
        (-0.001, False, False, True),
    ],
)
def test_size_and_then_speed_decide_between_recipes_that_cannot_be_told_apart(
    shift: float, smaller: bool, faster: bool, expected: bool
) -> None:
    search = refinement()
    old = search.propose(("", np.zeros(len(CLASSES)), ()))
    wiggle = 0.05 * np.array([1, -1] * (CHUNKS // 2))
    losses = ChunkLosses(np.ones(CHUNKS), np.ones(CHUNKS))
    moved = ChunkLosses(np.ones(CHUNKS) + shift + wiggle, np.ones(CHUNKS))
    old = Candidate("", old.factors, (), old.assignment, 10_000, 1.0, 1.0, losses)
    new = Candidate(
        "", old.factors, (), old.assignment,
        9_900 if smaller else 10_000, 1.0, 0.9 if faster else 1.0, moved,
    )  # fmt: skip
    assert search.prefers(new, old) is expected


def test_the_progress_counts_evaluations() -> None:
    judge, search = SyntheticJudge({"ffn_down": 3.0}), refinement()
    records = [one for one in search.run(judge.evaluate, 6) if isinstance(one, RecipeJudged)]
    assert [one.evaluation for one in records] == list(range(1, len(records) + 1))
    assert records[0].accepted and records[0].change == "predicted losses"


def test_factors_are_found_from_true_losses_of_different_recipes() -> None:
    judge = SyntheticJudge({"ffn_down": 3.0, "attn_q": 0.5}, noise=0.0)
    model, search = LossModel(TABLE), refinement()
    observed = []
    for place in range(len(CLASSES)):
        for sign in (-1, 1):
            factors = np.zeros(len(CLASSES))
            factors[place] = 2.0 * sign
            assignment = search.propose(("", factors, ())).assignment
            observed.append(model.observe(assignment, judge.loss(assignment)))
    fitted = fit_factors(observed)
    down = fitted[CLASSES.index("ffn_down")] - fitted[CLASSES.index("attention outputs")]
    queries = fitted[CLASSES.index("attention queries and keys")]
    # a prior draws the factors to 1, so that they are between 1 and the truth
    assert np.log(3.0) > down > 0.6 * np.log(3.0)
    assert np.log(0.5) < queries - fitted[CLASSES.index("attention outputs")] < 0


def test_a_factor_of_rounding_moves_bytes_to_formats_with_feedback() -> None:
    model = LossModel(TABLE, rounding={"Q4_K": 0.25})
    budget = int(4.4 * WEIGHTS / 8) * len(NAMES)
    plain = LossModel(TABLE)
    assignment = dict.fromkeys(NAMES, "Q4_K")
    assert model.predicted(assignment) == plain.predicted(assignment)
    assert model.rounding_factor(assignment) == pytest.approx(0.25)
    search = Refinement(
        GROUPS, model, tensor_budget(budget), np.ones(1), speed=lambda assignment: 1.0
    )
    formats = list(search.propose(("", np.zeros(len(CLASSES)), ())).assignment.values())
    others = list(refinement(budget).propose(("", np.zeros(len(CLASSES)), ())).assignment.values())
    assert formats.count("Q4_K") > others.count("Q4_K")


def test_tensors_have_the_classes_of_their_role_depth_and_format() -> None:
    def words(name: str, format: str) -> list[str]:
        return [CLASSES[place] for place in classes_of(name, format, 8)]

    assert words("token_embd.weight", "Q6_K") == ["the embedding"]
    assert words("output.weight", "Q2_K") == ["the output matrix", "formats below 3.2 bits"]
    assert words("blk.3.attn_k.weight", "Q4_K") == ["attention queries and keys"]
    assert words("blk.6.ffn_up_exps.weight", "Q8_0") == [
        "ffn_gate and ffn_up",
        "the first and last layers",
    ]
