"""Any task of lm-evaluation-harness on our models: an adapter to its interface, and no more.

The harness (`pip install "zeropoint[lm-eval]"`) chooses texts, prompts and scores; here are the
three questions that it asks a model. Its requests are pairs of texts; context and continuation are
cut into tokens together and parted where the context's own tokens end, as its transformers backend
does, so that the same weights give the same score.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from zeropoint.errors import MeasurementError
from zeropoint.metrics.tasks.likelihood import score_continuations
from zeropoint.models import (
    GREEDY,
    TOGETHER,
    LanguageModel,
    Sampling,
    Written,
    at_once,
    choose,
    generate_together,
    in_batches,
)

TOKENS = 256  # generated where a task does not say


class HarnessModel(LM):  # type: ignore[misc]  # the harness is not typed
    """One of our models as the harness sees it."""

    def __init__(
        self, model: LanguageModel, *, tokens: int = TOKENS, together: int = TOGETHER
    ) -> None:
        super().__init__()
        self._model = model
        self._tokens = tokens
        self._together = together

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Return (log p, whether greedy) of each continuation after its context."""
        pairs = [self._part(*request.args) for request in requests]
        return [(-nats, greedy) for nats, greedy in self._likelihoods(pairs)]

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """Return log p of each whole text, in windows of the model's context.

        The last window is as long as the others: what it does not score stands before it.
        """
        windows, owners = [], []
        for owner, request in enumerate(requests):
            ids = self._model.tokenizer.encode(request.args[0])
            size = self._model.context_length
            for at in range(0, len(ids), size):
                scored = ids[at : at + size]
                before = ids[max(0, at + len(scored) - size - 1) : at] if at else [self._begin()]
                windows.append((before, scored))
                owners.append(owner)
        sums = [0.0] * len(requests)
        for owner, (nats, _) in zip(owners, self._likelihoods(windows), strict=True):
            sums[owner] -= nats
        return sums

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Continue each context until one of its texts comes: greedily, or as the task samples.

        Sampled texts are drawn by our own noise, so they are not those of another backend.
        """
        tokenizer = self._model.tokenizer
        prompts = [self._encode(request.args[0]) for request in requests]
        texts = [""] * len(requests)
        longest = max(map(len, prompts), default=0) + self._tokens
        for group in in_batches(prompts, at_once(self._model, longest, self._together)):
            rules = [requests[index].args[1] for index in group]
            untils = [_texts(rule.get("until")) for rule in rules]
            limits = [_limit(rule, self._tokens) for rule in rules]
            samplings = [_sampling(rule, index) for rule, index in zip(rules, group, strict=True)]
            writers = [_Until(tokenizer.stream(), until) for until in untils]

            def say(index: int, step: int, logits: Any, writers: Any = writers,
                    limits: Any = limits, samplings: Any = samplings) -> int | None:  # fmt: skip
                if step >= limits[index] or writers[index].ended:
                    return None
                token = choose(logits, samplings[index], step)
                writers[index].push(token)
                return token

            rooms = [self._model.context_length - limit for limit in limits]
            if min(rooms) < 1:
                raise MeasurementError(f"{max(limits)} tokens to generate do not fit the context")
            for record in generate_together(
                self._model,
                [prompts[index][-room:] for index, room in zip(group, rooms, strict=True)],
                say,
                limit=max(limits),
                stops=tokenizer.stops,
            ):
                if isinstance(record, Written):
                    text = tokenizer.decode(record.ids)
                    texts[group[record.index]] = _cut(text, untils[record.index])
        return texts

    def _likelihoods(
        self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[tuple[float, bool]]:
        found = [(0.0, True)] * len(pairs)
        asked = [index for index, (_, continuation) in enumerate(pairs) if len(continuation)]
        for one in score_continuations(self._model, [pairs[index] for index in asked]):
            found[asked[one.index]] = one.nats, one.greedy
        return found

    def _part(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Return tokens of both texts; spaces at the context's end belong to the continuation."""
        if not context:
            return [self._begin()], self._model.tokenizer.encode(continuation)
        spaces = len(context) - len(context.rstrip())
        if spaces:
            continuation = context[-spaces:] + continuation
            context = context[:-spaces]
        before = self._encode(context)
        return before, self._encode(context + continuation)[len(before) :]

    def _encode(self, text: str) -> list[int]:
        tokenizer = self._model.tokenizer
        begin = [self._begin()] if tokenizer.adds_bos else []
        return [*begin, *tokenizer.encode(text)]

    def _begin(self) -> int:
        """Return the token that stands before a text: BOS, or where there is none EOS."""
        vocabulary = self._model.tokenizer.vocabulary
        begin = vocabulary.eos if vocabulary.bos is None else vocabulary.bos
        if begin is None:
            raise MeasurementError("the vocabulary has neither BOS nor EOS to begin a text with")
        return begin


class _Until:
    """Notices when one of several texts has come."""

    def __init__(self, stream: Any, until: Sequence[str]) -> None:
        self.ended = False
        self._stream = stream
        self._until = until
        self._text = ""

    def push(self, token: int) -> None:
        self._text += self._stream.push(token)
        self.ended = any(text in self._text for text in self._until)


def evaluate(
    model: LanguageModel,
    names: Sequence[str],
    *,
    include: Path | None = None,
    limit: int | None = None,
    tokens: int = TOKENS,
) -> Any:
    """Run tasks of the harness, and return its own results by task, as JSON objects.

    `include` is a folder with more tasks (YAML). Raises MeasurementError for a task that it does
    not know.
    """
    manager = TaskManager(include_path=None if include is None else str(include))
    unknown = [name for name in names if not manager.match_tasks([name])]
    if unknown:
        raise MeasurementError(
            f"the harness knows no task {unknown[0]!r}; --include DIR takes more, and "
            "`lm-eval ls tasks` lists its own"
        )
    evaluated = simple_evaluate(
        model=HarnessModel(model, tokens=tokens),
        tasks=list(names),
        task_manager=manager,
        limit=limit,
        bootstrap_iters=1000,
        log_samples=False,
    )
    return _as_json(evaluated["results"])


def _as_json(results: object) -> Any:
    """Return the harness's results with the types that JSON has; NaN and infinity are None."""

    def number(value: Any) -> object:
        return value.item() if hasattr(value, "item") else str(value)

    return json.loads(json.dumps(results, default=number), parse_constant=lambda _: None)


def _texts(until: object) -> list[str]:
    texts = [until] if isinstance(until, str) else until
    return [str(text) for text in texts if text] if isinstance(texts, list) else []


def _limit(rule: Mapping[str, Any], default: int) -> int:
    """Return how many tokens a task lets be generated, whatever it calls them."""
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    return int(next((rule[name] for name in names if rule.get(name) is not None), default))


def _sampling(rule: Mapping[str, Any], index: int) -> Sampling:
    """Return how a task's texts are drawn; what it does not say is as in transformers."""
    temperature = float(rule.get("temperature") or 0.0)
    if not rule.get("do_sample", temperature > 0):
        return GREEDY
    return Sampling(
        temperature=temperature or 1.0,
        top_k=int(rule.get("top_k", 50)),
        top_p=float(rule.get("top_p", 1.0)),
        min_p=float(rule.get("min_p") or 0.0),
        seed=index,
    )


def _cut(text: str, until: Sequence[str]) -> str:
    for end in until:
        text = text.split(end)[0]
    return text
