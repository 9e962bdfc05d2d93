"""Runs tasks of lm-evaluation-harness on our models, as an adapter to its model interface.

The harness (`pip install "zeropoint[lm-eval]"`) chooses the texts, the prompts and the scores; this
module answers its three kinds of requests. A request is a pair of texts. Context and continuation
are tokenized together and divided where the tokens of the context alone end, as the harness's
transformers backend does, so that the same weights get the same score.
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
    MAX_BATCH_SEQUENCES,
    CompletedText,
    LanguageModel,
    Sampling,
    choose,
    fitting_batch_size,
    generate_batch,
    in_batches,
)

DEFAULT_TOKENS = 256  # generated at most, unless the task sets a limit


class HarnessModel(LM):  # type: ignore[misc]  # the harness is not typed
    """A model of ours with the interface that the harness requires."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        tokens: int = DEFAULT_TOKENS,
        together: int = MAX_BATCH_SEQUENCES,
    ) -> None:
        super().__init__()
        self._model = model
        self._tokens = tokens
        self._together = together

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Return log p of each continuation after its context, and whether it is greedy."""
        pairs = [self._split(*request.args) for request in requests]
        return [(-nats, greedy) for nats, greedy in self._likelihoods(pairs)]

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """Return log p of each whole text, scored in windows of the model's context length.

        The last window is as long as the others, and begins with tokens that are scored already.
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
        """Continue each context until one of the task's stop texts, greedily or by sampling.

        Sampled texts come from our own random numbers, so they differ from those of other backends.
        """
        tokenizer = self._model.tokenizer
        prompts = [self._encode(request.args[0]) for request in requests]
        texts = [""] * len(requests)
        longest = max(map(len, prompts), default=0) + self._tokens
        for group in in_batches(prompts, fitting_batch_size(self._model, longest, self._together)):
            rules = [requests[index].args[1] for index in group]
            stop_texts = [_texts(rule.get("until")) for rule in rules]
            limits = [_limit(rule, self._tokens) for rule in rules]
            samplings = [_sampling(rule, index) for rule, index in zip(rules, group, strict=True)]
            watchers = [_StopTexts(tokenizer.stream(), until) for until in stop_texts]

            def choose_token(
                index: int,
                step: int,
                logits: Any,
                watchers: Any = watchers,
                limits: Any = limits,
                samplings: Any = samplings,
            ) -> int | None:
                if step >= limits[index] or watchers[index].reached:
                    return None
                token = choose(logits, samplings[index], step)
                watchers[index].push(token)
                return token

            prompt_limits = [self._model.context_length - limit for limit in limits]
            if min(prompt_limits) < 1:
                raise MeasurementError(
                    f"generating {max(limits)} tokens does not fit the context of the model"
                )
            for record in generate_batch(
                self._model,
                [
                    prompts[index][-tokens:]
                    for index, tokens in zip(group, prompt_limits, strict=True)
                ],
                choose_token,
                limit=max(limits),
                stops=tokenizer.stops,
            ):
                if isinstance(record, CompletedText):
                    text = tokenizer.decode(record.ids)
                    texts[group[record.index]] = _cut(text, stop_texts[record.index])
        return texts

    def _likelihoods(
        self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[tuple[float, bool]]:
        scores = [(0.0, True)] * len(pairs)
        scored = [index for index, (_, continuation) in enumerate(pairs) if len(continuation)]
        for score in score_continuations(self._model, [pairs[index] for index in scored]):
            scores[scored[score.index]] = score.nats, score.greedy
        return scores

    def _split(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Return the tokens of both texts; spaces after the context belong to the continuation."""
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
        """Return the token before a text: BOS, or EOS if the vocabulary has no BOS."""
        vocabulary = self._model.tokenizer.vocabulary
        begin = vocabulary.eos if vocabulary.bos is None else vocabulary.bos
        if begin is None:
            raise MeasurementError(
                "the vocabulary has neither BOS nor EOS, one of which has to begin a text"
            )
        return begin


class _StopTexts:
    """Watches a generated text for one of several stop texts."""

    def __init__(self, stream: Any, until: Sequence[str]) -> None:
        self.reached = False
        self._stream = stream
        self._until = until
        self._text = ""

    def push(self, token: int) -> None:
        self._text += self._stream.push(token)
        self.reached = any(text in self._text for text in self._until)


def evaluate(
    model: LanguageModel,
    names: Sequence[str],
    *,
    include: Path | None = None,
    limit: int | None = None,
    tokens: int = DEFAULT_TOKENS,
) -> Any:
    """Run tasks of the harness, and return its own results by task, as JSON objects.

    `include` is a folder with more tasks (YAML), `limit` the maximum number of questions per task,
    and `tokens` the maximum number of generated tokens.

    Raises MeasurementError for an unknown task.
    """
    manager = TaskManager(include_path=None if include is None else str(include))
    unknown = [name for name in names if not manager.match_tasks([name])]
    if unknown:
        raise MeasurementError(
            f"lm-evaluation-harness has no task {unknown[0]!r}; `lm-eval ls tasks` lists its tasks,"
            " and --include DIR adds more"
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
    """Return the maximum number of generated tokens; tasks use several names for it."""
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    return int(next((rule[name] for name in names if rule.get(name) is not None), default))


def _sampling(rule: Mapping[str, Any], index: int) -> Sampling:
    """Return the sampling of a task; settings that it omits have the defaults of transformers."""
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
