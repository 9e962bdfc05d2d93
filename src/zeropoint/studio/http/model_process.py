"""The worker process: it loads models once, and answers requests record by record.

`model_worker.py` starts it. A request is one line of JSON on stdin, {"id", "verb", …}; its records
go to stdout as {"id", "record"} (records.py) and end with {"id", "end"} or {"id", "error"}.
{"cancel": id} stops a request between two records. When stdin ends, the process ends as well,
whatever it is doing.
"""

import json
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zeropoint import kernels
from zeropoint.allocation.menu import make_menu
from zeropoint.allocation.predicted_loss import (
    PredictedLosses,
    PredictionText,
    SequencesRead,
    TensorPredicted,
    predict_losses,
)
from zeropoint.calibration.chunks import Chunk, read_chunks
from zeropoint.calibration.corpus import Corpus, builtin_corpus
from zeropoint.checkpoints import Checkpoint, open_model
from zeropoint.child import take_stdout
from zeropoint.errors import MeasurementError, ZeropointError
from zeropoint.models import (
    Conversation,
    Finished,
    LanguageModel,
    PromptRead,
    Sampling,
    Token,
    has_template,
    load_model,
)
from zeropoint.models.generation import generate
from zeropoint.studio.data import forward_pass
from zeropoint.studio.data.open_model import stamps
from zeropoint.studio.data.page_data import plain
from zeropoint.studio.http.records import write_record

MAX_LOADED_MODELS = 3  # models in memory
MAX_CONVERSATIONS = 8  # conversations that keep their caches
MAX_CONVERSATION_TOKENS = 4096  # tokens of a conversation
ABLATION_CONTEXT_TOKENS = 256  # tokens of a chunk that a weight is taken out on
ABLATION_CHUNKS = 2
MAX_TOKEN_CHARACTERS = 1000  # shown of one token; a file may hold tokens of 16 MiB

Record = dict[str, Any]


class ModelInMemory:
    """A model in memory."""

    def __init__(self, path: Path) -> None:
        self.checkpoint: Checkpoint = open_model(str(path))
        self.stamps = stamps(self.checkpoint)
        self.model: LanguageModel = load_model(self.checkpoint)


class ModelRequests:
    """Request handlers of the worker, with its models and conversations in memory."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, ModelInMemory] = OrderedDict()
        self._talks: OrderedDict[str, Conversation] = OrderedDict()

    def run(self, request: Mapping[str, Any]) -> Iterator[Record]:
        """Yield the records of the response to a request. Raises ZeropointError."""
        verbs = {"chat": self.chat, "ablate": self.ablate, "inputs": self.inputs,
                 "predict": self.predict}  # fmt: skip
        yield from verbs[request["verb"]](request)

    def chat(self, request: Mapping[str, Any]) -> Iterator[Record]:
        """Let one or two models answer the same message with the same seed, one after the other.

        Yields {side, text}, and {side, finished, tokens} at the end of each.
        """
        sampling = Sampling(temperature=request["temperature"], seed=request["seed"])
        sides = []
        for side, path in enumerate(request["models"]):
            if not self._is_loaded(path):
                yield {"side": side, "loading": Path(path).name}
            sides.append(self._answers(self._load(path), request, side, sampling))
        going = dict(enumerate(sides))
        while going:
            for side in list(going):
                record = next(going[side], None)
                if record is None:
                    del going[side]
                else:
                    yield {"side": side, **record}

    def _answers(
        self, loaded: ModelInMemory, request: Mapping[str, Any], side: int, sampling: Sampling
    ) -> Iterator[Record]:
        steps: Iterator[PromptRead | Token | Finished]
        limit, text = request["tokens"], request["text"]
        if has_template(loaded.checkpoint):
            steps = self._talk(loaded, request, side).say(text, limit=limit, sampling=sampling)
        else:  # a base model continues the text
            yield {"template": False}
            words = loaded.model.tokenizer.encode(text, ends=True)
            steps = generate(loaded.model, words, limit=limit, sampling=sampling)
        for step in steps:
            match step:
                case PromptRead():
                    yield {"read": step.done, "of": step.total}
                case Token():
                    yield {"text": _shown(step.text), "id": step.id}
                case Finished():
                    yield {
                        "text": _shown(step.text),
                        "finished": step.reason,
                        "tokens": step.tokens,
                    }

    def _talk(self, loaded: ModelInMemory, request: Mapping[str, Any], side: int) -> Conversation:
        """Return the conversation that a page continues, or a new one with the page's history."""
        key = f"{request['talk']} {side} {loaded.checkpoint.path} {loaded.stamps}"
        talk = self._talks.pop(key, None)
        if talk is None:
            room = min(loaded.model.context_length, MAX_CONVERSATION_TOKENS)
            talk = Conversation(loaded.checkpoint, loaded.model, context=room)
            for message, *answers in request["history"]:
                talk.messages += [
                    {"role": "user", "content": message},
                    {"role": "assistant", "content": answers[side]},
                ]
        self._talks[key] = talk
        while len(self._talks) > MAX_CONVERSATIONS:
            self._talks.popitem(last=False)
        return talk

    def ablate(self, request: Mapping[str, Any]) -> Iterator[Record]:
        """Set one weight to 0, and measure the model against the intact one.

        The matrix is multiplied as float32 meanwhile: a block often has no code for 0. So the KL is
        that of `measure` on a file whose only other tensor is this one, in F32, with the weight 0.
        """
        if not self._is_loaded(request["model"]):
            yield {"loading": Path(request["model"]).name}
        loaded = self._load(request["model"])
        yield {"reading": True}
        corpus = (
            Corpus({"text": request["text"]}) if request["text"] else builtin_corpus("evaluate")
        )
        chunks = read_chunks(
            corpus, loaded.checkpoint, loaded.model.tokenizer, ABLATION_CONTEXT_TOKENS,
            limit=ABLATION_CHUNKS,
        )  # fmt: skip
        place = {key: request[key] for key in ("tensor", "row", "column")}
        before = forward_pass.answer(loaded.model, request["prompt"])
        figures = forward_pass.without(
            loaded.checkpoint, loaded.model, place, chunks, request["prompt"]
        )
        yield {
            **place, **figures, "before": before, "prompt": request["prompt"],
            "value": self._value(loaded.checkpoint, place), "positions": _scored(chunks),
        }  # fmt: skip

    def inputs(self, request: Mapping[str, Any]) -> Iterator[Record]:
        """Run the model on a text, and yield the inputs of one matrix at the last token.

        Of a matrix of many experts it is the input of the one that the row belongs to.
        """
        if not self._is_loaded(request["model"]):
            yield {"loading": Path(request["model"]).name}
        loaded = self._load(request["model"])
        name, text = request["tensor"], request["text"]
        info = loaded.checkpoint.tensors[name]
        expert = request["row"] // info.shape[-2] if len(info.shape) == 3 else None
        inputs, token, position = forward_pass.inputs_of(loaded.model, [name], text, expert)
        if name not in inputs:
            who = f"expert {expert} of {name}" if expert is not None else name
            raise MeasurementError(
                f"no token of this text reaches {who}; choose another text or row"
            )
        message = f"the input of {name} at “{_shown(token)}”, token {position} of the text"
        yield {"x": inputs[name], "told": message}

    def predict(self, request: Mapping[str, Any]) -> Iterator[Record]:
        """Predict the loss of every tensor in every format that it may have.

        Yields {step, done, total}, and {losses, errors} at the end.
        """
        with open_model(request["model"]) as checkpoint:
            menu = make_menu(checkpoint, importance=True).encodings()
            text = PredictionText(builtin_corpus("calibrate"))
            threads = kernels.default_threads()
            for step in predict_losses(checkpoint, text, menu, threads=threads):
                match step:
                    case SequencesRead():
                        yield {"step": "Reading the text", "done": step.done, "total": step.total}
                    case TensorPredicted():
                        yield {"step": "Encoding", "done": step.done, "total": step.total}
                    case PredictedLosses():
                        yield {"losses": step.table, "errors": step.standard_errors}

    @staticmethod
    def _value(checkpoint: Checkpoint, place: Mapping[str, Any]) -> float:
        row = checkpoint.read_rows(place["tensor"], place["row"], place["row"] + 1)
        return float(kernels.decode(row.format, row.data).reshape(-1)[place["column"]])

    def _is_loaded(self, path: str) -> bool:
        known = self._models.get(path)
        return known is not None and stamps(known.checkpoint) == known.stamps

    def _load(self, path: str) -> ModelInMemory:
        current = self._is_loaded(path)
        known = self._models.pop(path, None)
        if known is None or not current:
            while len(self._models) >= MAX_LOADED_MODELS:
                self._models.popitem(last=False)
                self._talks.clear()  # they hold their model
            known = ModelInMemory(Path(path))
        self._models[path] = known
        return known


def _scored(chunks: Sequence[Chunk]) -> int:
    return int(np.sum([chunk.tokens.size // 2 - 1 for chunk in chunks]))


def main() -> None:
    """Answer requests until stdin ends."""
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    cancelled: set[int] = set()

    def listen() -> None:
        for line in sys.stdin:
            words = json.loads(line)
            if "cancel" in words:
                cancelled.add(words["cancel"])
            else:
                requests.put(words)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    answers = take_stdout()
    compute = ModelRequests()
    while True:
        request = requests.get()
        number = request["id"]
        try:
            for record in compute.run(request):
                if number in cancelled:
                    break
                write_record(answers, {"id": number, "record": plain(record)})
            write_record(answers, {"id": number, "end": True})
        except (ZeropointError, OSError, MemoryError) as error:
            message = str(error) or "out of memory: the model does not fit into the free memory"
            write_record(answers, {"id": number, "error": message})
        cancelled.discard(number)


def _shown(text: str) -> str:
    if len(text) <= MAX_TOKEN_CHARACTERS:
        return text
    return f"{text[:MAX_TOKEN_CHARACTERS]}… ({len(text):,} characters)"


if __name__ == "__main__":
    main()
