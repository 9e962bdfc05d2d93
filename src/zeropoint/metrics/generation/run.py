"""The run folder and the results of `drift`; also compares models whose tokenizers differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint import kernels
from zeropoint.metrics.generation.divergence_point import (
    FreeRunProgress,
    FreeRunSettings,
    PairedGeneration,
    first_difference,
)
from zeropoint.metrics.generation.prompts import Prompt, hash_prompts
from zeropoint.metrics.generation.summary import (
    answer_finder,
    doublings,
    free_run_figures,
    median_divergence,
    survival,
)
from zeropoint.metrics.generation.texts import (
    answer_of,
    common_continuation,
    same_answer,
)
from zeropoint.metrics.statistics import estimate, interval, wilson
from zeropoint.models import (
    GREEDY,
    CompletedText,
    LanguageModel,
    Tokenizer,
    choose,
    generate_batch,
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
from zeropoint.results.model_identity import ModelIdentity
from zeropoint.results.run_store import RunFolder

DRIFT_VERSION = 1  # bumped when a published number changes


def start_run(
    path: Path,
    reference: ModelIdentity,
    quant: ModelIdentity,
    prompts: Sequence[Prompt],
    settings: Mapping[str, object],
) -> RunFolder:
    """Create the run folder `path`, or open it if it holds the same run.

    Raises CheckpointError if the folder holds another run.
    """
    inputs = {
        "reference": reference.to_json(),
        "quant": quant.to_json(),
        "prompts": hash_prompts(prompts),
    }
    identity = {
        "drift_version": DRIFT_VERSION,
        "instruction_set": kernels.variant(),
        **settings,
    }
    return RunFolder.start(path, "drift", inputs, identity)


def free_run_results(
    generation: PairedGeneration,
    prompts: Sequence[Prompt],
    tokenizer: Tokenizer,
    folder: RunFolder | None,
) -> dict[str, FreeRun]:
    """Summarize all pairs by decoding mode, and store the texts in `pairs.json` of the run folder.

    The keys are "greedy" and "sampled".
    """
    find_answer = answer_finder(tokenizer.decode, [prompt.answer for prompt in prompts])
    if folder:
        table = []
        for pair in generation.pairs:
            answers = (find_answer(pair, ids) for ids in (pair.reference, pair.quant))
            text_pair = TextPair(
                prompt=prompts[pair.index].prompt,
                domain=prompts[pair.index].domain,
                way=pair.mode,
                reference=tokenizer.decode(pair.reference),
                quant=tokenizer.decode(pair.quant),
                reference_pieces=tuple(pieces_of(tokenizer, pair.reference)),
                quant_pieces=tuple(pieces_of(tokenizer, pair.quant)),
                split=pair.divergence_step,
                met_again=common_continuation(pair.reference, pair.quant),
                same_answer=same_answer(*answers),
            )
            table.append(text_pair.to_json())
        folder.save_table("pairs", table)
    return free_run_figures(
        generation.pairs,
        generation.settings.max_tokens,
        stops=tokenizer.stops,
        find_answer=find_answer,
    )


def pieces_of(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Return the text that each token completes, never half a character; joined: `decode(ids)`."""
    stream = tokenizer.stream()
    pieces = [stream.push(id) for id in ids]
    if pieces:
        pieces[-1] += stream.finish()
    # Some tokenizers put a space before a text, and remove it again when they decode all of it.
    first = next((place for place, piece in enumerate(pieces) if piece), None)
    if first is not None and "".join(pieces) != tokenizer.decode(ids):
        pieces[first] = pieces[first].removeprefix(" ")
    return pieces


@dataclass(frozen=True)
class PromptContinuation:
    """The text that one model generated for a prompt."""

    text: str
    tokens: int
    stopped: bool  # by the model itself, and not at the limit


def continue_prompts(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    settings: FreeRunSettings,
    texts: dict[int, PromptContinuation],
) -> Iterator[FreeRunProgress]:
    """Continue the prompts greedily, for models whose tokens differ.

    Adds to `texts`, by prompt. Batches whose texts are all there are not generated again.
    """
    for group in in_batches(prompts, settings.batch_size):
        if all(index in texts for index in group):
            continue
        before = len(texts) * settings.max_tokens
        records = generate_batch(
            model,
            [prompts[index] for index in group],
            lambda _index, step, logits: choose(logits, GREEDY, step),
            limit=settings.max_tokens,
            stops=model.tokenizer.stops,
        )
        for record in records:
            if isinstance(record, CompletedText):
                texts[group[record.index]] = PromptContinuation(
                    model.tokenizer.decode(record.ids), len(record.ids), record.reason == "stop"
                )
            else:
                yield FreeRunProgress(before + (record.step + 1) * len(group), len(texts))
        yield FreeRunProgress(len(texts) * settings.max_tokens, len(texts))


def save_texts(folder: RunFolder, place: int, texts: Mapping[int, PromptContinuation]) -> None:
    """Store the texts of one model, by prompt, in `texts-PLACE.json`."""
    folder.save_table(
        f"texts-{place}",
        [WrittenText(prompt, **vars(text)).to_json() for prompt, text in texts.items()],
    )


def load_texts(folder: RunFolder, place: int) -> dict[int, PromptContinuation]:
    """Return the stored texts of one model, by prompt."""
    rows = folder.load_records(f"texts-{place}", WrittenText)
    return {row.prompt: PromptContinuation(row.text, row.tokens, row.stopped) for row in rows}


def compare_texts(
    reference: Sequence[PromptContinuation],
    quant: Sequence[PromptContinuation],
    *,
    prompts: Sequence[Prompt],
    folder: RunFolder | None = None,
) -> TextsCompared:
    """Compare the texts of models whose tokens differ: by character, and by answer.

    The texts are stored in `pairs.json` of the run folder.
    """
    texts = list(zip(reference, quant, strict=True))
    divergences = [first_difference(one.text, other.text) for one, other in texts]
    same_answers = [
        same_answer(*(answer_of(text.text, prompt.answer) for text in pair))
        for pair, prompt in zip(texts, prompts, strict=True)
    ]
    if folder:
        rows = zip(prompts, texts, divergences, same_answers, strict=True)
        table = [
            TextPair(
                prompt=prompt.prompt,
                domain=prompt.domain,
                way="greedy",
                reference=one.text,
                quant=other.text,
                split=divergence,
                same_answer=same,
            ).to_json()
            for prompt, (one, other), divergence, same in rows
        ]
        folder.save_table("pairs", table)
    limit = max(1, *(len(text.text) for pair in texts for text in pair))
    curve = survival(divergences, limit)
    ones = np.ones(len(texts))

    def sizes(side: Sequence[PromptContinuation]) -> np.ndarray:
        return np.array([float(len(text.text.encode())) for text in side])

    return TextsCompared(
        prompts=len(texts),
        split_characters=median_divergence(curve),
        survival_characters=tuple(
            SurvivalPoint(at, interval(curve[at - 1])) for at in doublings(limit)
        ),
        same_answer=interval(wilson(sum(same_answers), len(texts))),
        bytes=Change(
            float(sizes(reference).mean()),
            float(sizes(quant).mean()),
            interval(estimate(sizes(quant) - sizes(reference), ones)),
        ),
    )
