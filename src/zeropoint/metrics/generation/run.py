"""The verb `drift`: its run folder, its results, and what is compared where tokens differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint import kernels
from zeropoint.metrics.divergence.compatibility import ModelIdentity
from zeropoint.metrics.generation.divergence_point import Drift, Drifted, Settings, first_difference
from zeropoint.metrics.generation.prompts import Prompt, hash_prompts
from zeropoint.metrics.generation.summary import (
    answers,
    doublings,
    drift_figures,
    median_split,
    survival,
)
from zeropoint.metrics.generation.texts import answer_of, rejoins, same_answer
from zeropoint.metrics.statistics import estimate, interval, wilson
from zeropoint.models import (
    GREEDY,
    LanguageModel,
    Tokenizer,
    Written,
    choose,
    generate_together,
    in_batches,
)
from zeropoint.results.drift import (
    Change,
    FreeRun,
    SurvivalPoint,
    TextPair,
    TextsCompared,
    WrittenText,
)
from zeropoint.results.run_store import RunFolder

DRIFT_VERSION = 1  # bumped when a published number changes


def start_run(
    path: Path,
    sides: tuple[ModelIdentity, ModelIdentity],
    prompts: Sequence[Prompt],
    settings: Mapping[str, object],
) -> RunFolder:
    """Begin the run in `path`, or go on with it if it is the same measurement."""
    inputs = {
        "reference": sides[0].to_json(),
        "quant": sides[1].to_json(),
        "prompts": hash_prompts(prompts),
    }
    identity = {
        "drift_version": DRIFT_VERSION,
        "instruction_set": kernels.variant(),
        **settings,
    }
    return RunFolder.start(path, "drift", inputs, identity)


def free_run_results(
    drift: Drift, prompts: Sequence[Prompt], model: LanguageModel, run: RunFolder | None
) -> dict[str, FreeRun]:
    """Sum up the pairs; the texts side by side go to `pairs.json` of the run folder."""
    tokenizer = model.tokenizer
    answer = answers(tokenizer.decode, [prompt.answer for prompt in prompts])
    if run:
        table = []
        for pair in drift.pairs:
            split = pair.split
            met = rejoins(pair.reference, pair.quant)
            table.append(
                TextPair(
                    prompt=prompts[pair.index].prompt,
                    domain=prompts[pair.index].domain,
                    way=pair.way,
                    reference=tokenizer.decode(pair.reference),
                    quant=tokenizer.decode(pair.quant),
                    reference_pieces=tuple(pieces_of(tokenizer, pair.reference)),
                    quant_pieces=tuple(pieces_of(tokenizer, pair.quant)),
                    split=split,
                    met_again=met,
                    same_answer=same_answer(answer(pair, pair.reference), answer(pair, pair.quant)),
                ).to_json()
            )
        run.save_table("pairs", table)
    return drift_figures(drift.pairs, drift.settings.limit, stops=tokenizer.stops, answer=answer)


def pieces_of(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Return the text that each token completes, never half a character; together: `decode`."""
    stream = tokenizer.stream()
    pieces = [stream.push(id) for id in ids]
    if pieces:
        pieces[-1] += stream.finish()
    # Some tokenizers put a space before a text, which decoding it as a whole takes away again.
    begin = next((place for place, piece in enumerate(pieces) if piece), None)
    if begin is not None and "".join(pieces) != tokenizer.decode(ids):
        pieces[begin] = pieces[begin].removeprefix(" ")
    return pieces


@dataclass(frozen=True)
class Text:
    """What one model wrote to one prompt."""

    text: str
    tokens: int
    stopped: bool


def write_texts(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    into: dict[int, Text],
) -> Iterator[Drifted]:
    """Continue the prompts, greedily, for models whose tokens differ; fills `into` by prompt.

    Batches that are in it already are not written again.
    """
    for group in in_batches(prompts, settings.together):
        if all(index in into for index in group):
            continue
        before = len(into) * settings.limit
        records = generate_together(
            model,
            [prompts[index] for index in group],
            lambda _index, step, logits: choose(logits, GREEDY, step),
            limit=settings.limit,
            stops=model.tokenizer.stops,
        )
        for record in records:
            if isinstance(record, Written):
                into[group[record.index]] = Text(
                    model.tokenizer.decode(record.ids), len(record.ids), record.reason == "stop"
                )
            else:
                yield Drifted(before + (record.step + 1) * len(group), len(into))
        yield Drifted(len(into) * settings.limit, len(into))


def save_texts(run: RunFolder, place: int, texts: Mapping[int, Text]) -> None:
    """Write what one model wrote, by prompt: `texts-PLACE.json`."""
    run.save_table(
        f"texts-{place}",
        [WrittenText(prompt, **vars(text)).to_json() for prompt, text in texts.items()],
    )


def load_texts(run: RunFolder, place: int) -> dict[int, Text]:
    """Return what a run holds of one model."""
    rows = run.load_records(f"texts-{place}", WrittenText)
    return {row.prompt: Text(row.text, row.tokens, row.stopped) for row in rows}


def text_figures(
    reference: Sequence[Text],
    quant: Sequence[Text],
    *,
    prompts: Sequence[Prompt],
    run: RunFolder | None = None,
) -> TextsCompared:
    """Compare the texts of models whose tokens differ: by character, and by answer.

    The texts side by side go to `pairs.json` of the run folder.
    """
    texts = list(zip(reference, quant, strict=True))
    splits = [first_difference(one.text, other.text) for one, other in texts]
    answered = [
        same_answer(*(answer_of(text.text, prompt.answer) for text in (one, other)))
        for (one, other), prompt in zip(texts, prompts, strict=True)
    ]
    if run:
        rows = zip(prompts, texts, splits, answered, strict=True)
        table = [
            TextPair(
                prompt=prompt.prompt,
                domain=prompt.domain,
                way="greedy",
                reference=one.text,
                quant=other.text,
                split=split,
                same_answer=same,
            ).to_json()
            for prompt, (one, other), split, same in rows
        ]
        run.save_table("pairs", table)
    limit = max(1, *(len(text.text) for pair in texts for text in pair))
    curve = survival(splits, limit)
    ones = np.ones(len(texts))

    def sizes(side: Sequence[Text]) -> np.ndarray:
        return np.array([float(len(text.text.encode())) for text in side])

    return TextsCompared(
        prompts=len(texts),
        split_characters=median_split(curve),
        survival_characters=tuple(
            SurvivalPoint(at, interval(curve[at - 1])) for at in doublings(limit)
        ),
        same_answer=interval(wilson(sum(answered), len(texts))),
        bytes=Change(
            float(sizes(reference).mean()),
            float(sizes(quant).mean()),
            interval(estimate(sizes(quant) - sizes(reference), ones)),
        ),
    )
