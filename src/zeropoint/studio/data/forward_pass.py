"""Data of the page about a forward pass: its products, removed weights, and answers.

The model runs once, in exact arithmetic. The figures show values that were computed by the kernels
that `measure` uses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.calibration.chunks import Chunk
from zeropoint.checkpoints import Checkpoint
from zeropoint.formats import F32, FORMATS, QuantizedTensor
from zeropoint.metrics.divergence.score_chunks import score_chunks
from zeropoint.models import LanguageModel
from zeropoint.models.generation import Token, generate
from zeropoint.plans.formats import inventory
from zeropoint.studio.data.page_data import PageData

PRODUCT_KINDS = (("attn_q", "attn_qkv"), ("ffn_gate", "ffn_up"), ("ffn_down",))
MAX_PRODUCT_WEIGHTS = 5120  # of a matrix that a page carries
MAX_PRODUCT_ROWS = 8
REMOVED_WEIGHTS = 6  # single weights that are taken out, the most outstanding of as many matrices
REMOVED_ORDINARY_WEIGHTS = 2  # and others, for comparison
ANSWER_TOKENS = 40  # tokens

PROMPTS = (
    "The capital of France is",
    "def fibonacci(n):\n",
    "Question: I have 17 apples and give away 5. How many are left?\nAnswer:",
)

I32 = NDArray[np.int32]


@dataclass(frozen=True)
class PageDataPart:
    """One part of the page's data: its key and its value."""

    key: str
    figures: object


def run_passes(
    checkpoint: Checkpoint,
    model: LanguageModel,
    quant: LanguageModel | None,
    seen: Sequence[PageData],
    texts: Sequence[I32],
) -> Iterator[PageDataPart]:
    """Yield `products`, `ablations` and, with a quant, `answers`."""
    yield PageDataPart("products", products(checkpoint, model, PROMPTS[0]))
    yield PageDataPart("ablations", ablations(checkpoint, model, seen, texts))
    if quant is not None:
        yield PageDataPart(
            "answers",
            [
                {"prompt": p, "reference": answer(model, p), "quant": answer(quant, p)}
                for p in PROMPTS
            ],
        )


def products(checkpoint: Checkpoint, model: LanguageModel, prompt: str) -> list[PageData]:
    """Return some rows of three matrices, and their inputs at the last token of a prompt."""
    names = [name for kinds in PRODUCT_KINDS if (name := _of_kind(model, kinds))]
    inputs, token, position = inputs_of(model, names, prompt)
    return [
        {**_rows(checkpoint, name), "inputs": inputs[name], "token": token, "position": position,
         "text": prompt}
        for name in names
    ]  # fmt: skip


def inputs_of(
    model: LanguageModel, names: Sequence[str], prompt: str, expert: int | None = None
) -> tuple[dict[str, F32], str, int]:
    """Return these matrices' inputs at the last token of a prompt, the token, and its position.

    `expert` selects the expert of a stacked matrix; one that receives no token is left out.
    """
    tokens = np.array(model.tokenizer.encode(prompt, ends=True), np.int32)
    inputs: dict[str, F32] = {}

    def watch(name: str) -> None:
        def keep(rows: F32, which: int | None) -> None:
            if which == expert and len(rows):
                inputs[name] = rows[-1].copy()

        model.set_hook(name, keep)

    for name in names:
        watch(name)
    try:
        states = model.hidden(tokens)
    finally:
        for name in names:
            model.set_hook(name, None)
    if (head := model.architecture.output) in names:  # whose product is not part of the layers
        inputs[head] = states.reshape(-1, states.shape[-1])[-1]
    last = model.tokenizer.piece(int(tokens[-1]), special=True).decode("utf-8", "replace")
    return inputs, last.strip() or last, int(tokens.size) - 1


def _of_kind(model: LanguageModel, kinds: Sequence[str]) -> str | None:
    """Return the matrix of one of these kinds in the middle layer; experts are left out."""
    matrices = model.matrices()
    for kind in kinds:
        names = [n for n, shape in matrices.items()
                 if inventory.kind_of(n) == kind and len(shape) == 2]  # fmt: skip
        if names:
            return names[len(names) // 2]
    return None


def _rows(checkpoint: Checkpoint, name: str) -> PageData:
    info = checkpoint.tensors[name]
    count = max(2, min(MAX_PRODUCT_ROWS, MAX_PRODUCT_WEIGHTS // info.columns, info.rows))
    rows = [int(row) for row in np.linspace(0, info.rows - 1, count)]
    weights = [
        kernels.decode(info.format, checkpoint.read_rows(name, row, row + 1).data).reshape(-1)
        for row in rows
    ]
    return {
        "tensor": name,
        "shape": list(info.shape),
        "format": info.format.name,
        "columns": info.columns,
        "rows": rows,
        "weights": np.stack(weights),
    }


def ablations(
    checkpoint: Checkpoint, model: LanguageModel, seen: Sequence[PageData], texts: Sequence[I32]
) -> PageData:
    """Set single weights to 0, one at a time, and measure the KL divergence that each causes."""
    chunks = [Chunk("text", tokens) for tokens in texts]
    prompt = PROMPTS[0]
    weights = [
        {**place, **without(checkpoint, model, place, chunks, prompt)}
        for place in places(checkpoint, model, seen)
    ]
    return {
        "prompt": prompt,
        "answer": answer(model, prompt),
        "positions": sum(tokens.size // 2 - 1 for tokens in texts),
        "weights": weights,
    }


def places(
    checkpoint: Checkpoint, model: LanguageModel, seen: Sequence[PageData]
) -> list[PageData]:
    """Return the weights to ablate: the largest of the most uneven matrices, and typical ones."""
    matrices = model.matrices()
    known = [f for f in seen if len(matrices.get(str(f["name"]), ())) == 2
             and f["name"] != model.architecture.output]  # fmt: skip
    ranked = sorted(known, key=lambda f: -abs(f["largest"]) / (f["rms"] or 1))
    weights = []
    for index, figures in enumerate(ranked[: REMOVED_WEIGHTS + REMOVED_ORDINARY_WEIGHTS]):
        name, ordinary = str(figures["name"]), index >= REMOVED_WEIGHTS
        info = checkpoint.tensors[name]
        row = info.rows // 2 if ordinary else int(figures["row"])
        column = info.columns // 2 if ordinary else int(figures["column"])
        block = checkpoint.read_rows(name, row, row + 1)
        value = float(kernels.decode(info.format, block.data).reshape(-1)[column])
        ratio = abs(value) / float(figures["rms"])
        weights.append({"tensor": name, "row": row, "column": column, "value": value,
                      "ratio": ratio, "ordinary": ordinary})  # fmt: skip
    return weights


def without(
    checkpoint: Checkpoint,
    model: LanguageModel,
    place: PageData,
    chunks: Sequence[Chunk],
    prompt: str,
) -> PageData:
    """Compare the model with one weight set to 0 with the intact model, and generate its text."""
    name = str(place["tensor"])
    stored = checkpoint.read(name)
    weights = kernels.decode(stored.format, stored.data).reshape(stored.shape).copy()
    weights[place["row"], place["column"]] = 0
    changed = QuantizedTensor(
        FORMATS["F32"], stored.shape, weights.reshape(-1, 1).view(np.uint8).reshape(-1, 4)
    )
    before = [model.hidden(chunk.tokens[None]) for chunk in chunks]
    model.replace(name, changed)
    try:
        measured = list(score_chunks(_CachedStates(model, chunks, before), model, chunks))
        written = answer(model, prompt)
    finally:
        model.replace(name, stored)
    kl = np.concatenate([chunk_scores.comparison.kl for chunk_scores in measured])
    same = np.concatenate([chunk_scores.comparison.same_top for chunk_scores in measured])
    return {"kl": float(kl.mean()), "top1": float(same.mean()), "answer": written}


class _CachedStates:
    """The intact model: its cached hidden states and its output head."""

    def __init__(
        self, model: LanguageModel, chunks: Sequence[Chunk], states: Sequence[F32]
    ) -> None:
        self._model = model
        self._states = {c.tokens.tobytes(): s for c, s in zip(chunks, states, strict=True)}

    @property
    def vocab_size(self) -> int:
        return self._model.vocab_size

    def hidden(self, tokens: I32) -> F32:
        return np.concatenate([self._states[row.tobytes()] for row in tokens])

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        return self._model.head(rows, tokens)


def answer(model: LanguageModel, prompt: str) -> str:
    """Return the text that the model generates greedily after a prompt."""
    tokens = model.tokenizer.encode(prompt, ends=True)
    steps = generate(model, tokens, limit=ANSWER_TOKENS)
    return "".join(step.text for step in steps if isinstance(step, Token))
