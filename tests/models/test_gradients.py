"""Gradients of zeropoint's products are those of transformers' modules in float64."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from support.families import FAMILIES, VOCABULARY, Family, pieces, random_model, write_gguf
from support.float64_models import doubled
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.models.gradients import GradientPass

SOME = [
    "llama",  # rows of q and k permuted
    "llama tied",
    "llama biased",
    "mixtral",  # experts
    "qwen3 moe",
    "gemma2",  # soft caps and a scaled, tied embedding
    "gemma3",
    "phi3 long",  # fused qkv and gate-up matrices
    "smollm3",
    "bitnet",
]
BATCH, COUNT, SEED = 2, 20, 7
# Maximum error: four times transformers' own distance from float64, as for logits.
FACTOR = 4


class WeightGradients:
    """Sums g xᵀ by tensor (experts stacked) and sequence."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.sums: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
        self.arrays: list[np.ndarray] = []

    def add_products(
        self,
        name: str,
        expert: int | None,
        inputs: np.ndarray,
        gradients: np.ndarray,
        sequences: np.ndarray,
    ) -> None:
        self.arrays += [inputs.copy(), gradients.copy()]
        for x, g, sequence in zip(inputs, gradients, sequences.tolist(), strict=True):
            part = self._sum(name, sequence)
            (part if expert is None else part[expert])[...] += np.outer(g, x)

    def add_lookups(
        self, name: str, tokens: np.ndarray, gradients: np.ndarray, sequences: np.ndarray
    ) -> None:
        self.arrays.append(gradients.copy())
        for token, g, sequence in zip(tokens, gradients, sequences.tolist(), strict=True):
            self._sum(name, sequence)[token] += g

    def _sum(self, name: str, sequence: int) -> np.ndarray:
        return self.sums[name].setdefault(sequence, np.zeros(self.shapes[name]))


def some_tokens() -> np.ndarray:
    return np.random.default_rng(1).integers(0, VOCABULARY, (BATCH, COUNT))


def expected_gradients(
    family: Family, model: torch.nn.Module, tokens: np.ndarray, *, double: bool
) -> list[dict[str, np.ndarray]]:
    """By sequence: the gradient of each GGUF tensor, by transformers' autograd."""
    found = []
    for row, line in enumerate(tokens):
        model.zero_grad()
        with doubled(model) if double else nullcontext():
            logits = model(torch.from_numpy(line[None]), use_cache=False).logits[0]
            shares = torch.softmax(logits.detach().double(), dim=-1).numpy()
            draws = np.random.default_rng([SEED, row]).random(COUNT)
            labels = [
                np.searchsorted(np.cumsum(part), draw)
                for part, draw in zip(shares, draws, strict=True)
            ]
            torch.nn.functional.cross_entropy(
                logits, torch.tensor(np.array(labels)), reduction="sum"
            ).backward()
            named = {}
            for name, weight in model.named_parameters():
                if weight.ndim > 1 and weight.grad is not None:
                    parts = pieces(family, model.config, name, weight.grad.clone())
                    named |= {target: np.array(array, np.float64) for target, array, _ in parts}
        found.append(named)
    return found


@pytest.mark.parametrize("name", SOME)
def test_gradients_of_all_matrices_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    model = random_model(family)
    path = write_gguf(tmp_path / "tiny.gguf", family, model)
    model.requires_grad_(True)
    tokens = some_tokens()
    with open_checkpoint(path) as checkpoint:
        ours = WeightGradients({n: info.shape for n, info in checkpoint.tensors.items()})
        passes = GradientPass(checkpoint, threads=1)
        passes.run(tokens, ours, seed=SEED)
        matrices = {*passes.matrices(), "token_embd.weight"}
    double = expected_gradients(family, model, tokens, double=True)
    single = expected_gradients(family, model, tokens, double=False)
    routers = {name for name in double[0] if "ffn_gate_inp" in name}
    assert set(ours.sums) == matrices - routers == set(double[0]) - routers
    for target in ours.sums:
        own = max(np.abs(s[target] - d[target]).max() for s, d in zip(single, double, strict=True))
        largest = max(np.abs(d[target]).max() for d in double)
        assert largest > 0
        for row in range(BATCH):
            distance = np.abs(ours.sums[target].get(row, 0) - double[row][target]).max()
            assert distance <= FACTOR * own, (target, row, distance / largest)


def test_gradients_do_not_depend_on_the_batch_and_the_threads(tmp_path: Path) -> None:
    with open_checkpoint(write_model(tmp_path / "tiny.gguf")) as checkpoint:
        shapes = {n: info.shape for n, info in checkpoint.tensors.items()}
        together, alone = WeightGradients(shapes), WeightGradients(shapes)
        tokens = np.random.default_rng(2).integers(3, 250, (3, 16))
        losses = GradientPass(checkpoint, threads=2).run(tokens, together, seed=SEED)
        passes = GradientPass(checkpoint, threads=1)
        for row in range(3):
            one = passes.run(tokens[row : row + 1], alone, seed=SEED, first=row)
            assert one[0] == pytest.approx(losses[row], rel=1e-5)
    for name, parts in together.sums.items():
        for row, part in parts.items():
            # float32: a relative error of 2⁻²⁴ for each of about 10⁴ operations in a chain
            bound = 1e4 * 2.0**-24 * np.abs(part).max()
            assert np.abs(alone.sums[name][row] - part).max() <= bound, (name, row)


def test_the_same_seed_gives_the_same_bits_and_another_one_other_labels(tmp_path: Path) -> None:
    with open_checkpoint(write_model(tmp_path / "tiny.gguf")) as checkpoint:
        shapes = {n: info.shape for n, info in checkpoint.tensors.items()}
        found = [WeightGradients(shapes) for _ in range(3)]
        passes = GradientPass(checkpoint, threads=1)
        tokens = np.random.default_rng(2).integers(3, 250, (2, 8))
        for visitor, seed in zip(found, (1, 1, 2), strict=True):
            passes.run(tokens, visitor, seed=seed)
    for one, other in zip(found[0].arrays, found[1].arrays, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(found[0].arrays[1], found[2].arrays[1])


def test_labels_have_the_frequencies_of_the_model(tmp_path: Path) -> None:
    """At the output matrix g = p − onehot(label), so the mean over many seeds is about 0."""
    with open_checkpoint(write_model(tmp_path / "tiny.gguf")) as checkpoint:
        passes = GradientPass(checkpoint, threads=1)
        tokens = np.full((1, 2), 70)

        class Head:
            rows: list[np.ndarray] = []  # noqa: RUF012

            def add_products(
                self, name: str, expert: int | None, inputs: np.ndarray, gradients: np.ndarray,
                sequences: np.ndarray,
            ) -> None:  # fmt: skip
                if name == "output.weight":
                    self.rows.append(gradients[0].astype(np.float64))

            def add_lookups(self, *_: object) -> None:
                pass

        head = Head()
        draws = 160
        for seed in range(draws):
            passes.run(tokens, head, seed=seed)
    rows = np.array(head.rows)
    labels = rows.argmin(axis=1)
    assert len(set(labels.tolist())) > 20
    shares = rows[0].copy()
    shares[labels[0]] += 1
    assert shares.min() >= 0 and shares.sum() == pytest.approx(1, abs=1e-5)
    # Pearson's χ² of the labels in 8 groups of about equal probability: 7 degrees of freedom, and
    # 24.3 is exceeded with probability 0.001 (the seeds are fixed, so the test never fluctuates).
    groups = np.minimum((np.cumsum(shares) - shares) * 8, 7).astype(int)
    expected = draws * np.bincount(groups, shares, 8)
    counted = np.bincount(groups[labels], minlength=8)
    assert ((counted - expected) ** 2 / expected).sum() < 24.3


def test_a_model_with_infinite_logits_is_refused(tmp_path: Path) -> None:
    broken = np.full((256, 256), np.nan, np.float32)
    path = write_model(tmp_path / "tiny.gguf", changes={"blk.0.attn_q.weight": broken})
    with open_checkpoint(path) as checkpoint:
        shapes = {n: info.shape for n, info in checkpoint.tensors.items()}
        passes = GradientPass(checkpoint, threads=1)
        with pytest.raises(MeasurementError, match="a logit is not finite"):
            passes.run(np.full((1, 8), 70), WeightGradients(shapes), seed=0)
