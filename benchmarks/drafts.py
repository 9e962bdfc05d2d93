"""Do guesses change a text, and how much do they save?

    python benchmarks/drafts.py MODEL --draft ngram --draft SMALLER [--prompts 50] [--tokens 64]
        [--temperatures 0,0.7,1] [--kind code] [--threads N] [--mode fast]

Each prompt is a piece of built-in text. For each draft and temperature the script prints the number
of texts and of those with other tokens (0 is right), accepted and guessed tokens, passes, and the
median ratio of the speeds of texts that are generated one after the other, with and without
guesses. A ratio counts only from an idle machine.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from zeropoint.calibration.corpus import open_corpus
from zeropoint.models import Finished, LanguageModel, Sampling, Token, generate, load_model
from zeropoint.models.speculation import DraftCounts, DraftedModel, DraftMaker, draft_maker

PROMPT_TOKENS = 96


@dataclass
class Tally:
    """What was seen with one draft at one temperature."""

    texts: int = 0
    different: int = 0
    counts: DraftCounts = field(default_factory=DraftCounts)
    ratios: list[float] = field(default_factory=list)

    def line(self, draft: str, temperature: float) -> str:
        """Return one line of the table."""
        counts = self.counts
        ratio = median(self.ratios) if self.ratios else float("nan")
        return (
            f"| {draft} | {temperature:g} | {self.texts} | {self.different} | {counts.accepted} of"
            f" {counts.proposed} | {counts.passes} | {ratio:.2f} |"
        )


def prompts(model: LanguageModel, count: int, kind: str) -> Iterator[list[int]]:
    """Yield the tokens of pieces that are spread over a built-in text."""
    (text, *_) = open_corpus([f"builtin:{kind}/evaluate"], "evaluate").domains.values()
    ids = model.tokenizer.encode(text)
    step = max((len(ids) - PROMPT_TOKENS) // count, 1)
    for at in range(0, len(ids) - PROMPT_TOKENS, step)[:count]:
        yield ids[at : at + PROMPT_TOKENS]


def write(
    model: LanguageModel, prompt: list[int], sampling: Sampling, limit: int, make: DraftMaker | None
) -> tuple[list[int], Finished]:
    """Return a text and its last record."""
    draft = make and make(prompt, sampling, len(prompt) + limit)
    records = list(
        generate(
            DraftedModel(model, draft), prompt, limit=limit, sampling=sampling, stops=frozenset()
        )
    )
    assert isinstance(records[-1], Finished)
    return [record.id for record in records if isinstance(record, Token)], records[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--draft", action="append", required=True)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--temperatures", default="0,0.7,1")
    parser.add_argument("--kind", default="code", help="of the built-in text")
    parser.add_argument("--mode", default="fast", choices=["fast", "exact"])
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    model = load_model(options.model, mode=options.mode, threads=options.threads)
    makers = {draft: draft_maker(draft, model) for draft in options.draft}
    print("| draft | temperature | texts | other tokens | accepted | passes | speed ratio |")
    print("|---|---|---|---|---|---|---|")
    for temperature in map(float, options.temperatures.split(",")):
        tallies = {draft: Tally() for draft in makers}
        for at, prompt in enumerate(prompts(model, options.prompts, options.kind)):
            sampling = Sampling(temperature=temperature, seed=at)
            plain, end = write(model, prompt, sampling, options.tokens, None)
            for draft, make in makers.items():
                drafted, drafted_end = write(model, prompt, sampling, options.tokens, make)
                tally, counts = tallies[draft], drafted_end.drafts
                assert counts is not None
                tally.texts += 1
                tally.different += drafted != plain
                tally.counts.passes += counts.passes
                tally.counts.proposed += counts.proposed
                tally.counts.accepted += counts.accepted
                tally.ratios.append(end.seconds / drafted_end.seconds)
        for draft, tally in tallies.items():
            print(tally.line(draft, temperature), flush=True)


if __name__ == "__main__":
    main()
