"""Prompts of requests become tokens; grammars become masks."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.tiny_models import write_model
from support.vocabularies import byte_pairs
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import MeasurementError, MissingPackage
from zeropoint.models import load_model
from zeropoint.server.engine import memory
from zeropoint.server.engine.infill_tokens import read_infill_tokens
from zeropoint.server.engine.prompts import PromptReader, RefusedPrompt
from zeropoint.server.engine.scheduler import Scheduler

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"const": "x"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PromptReader:
    path = write_model(tmp_path_factory.mktemp("prompts") / "tiny.gguf")
    return PromptReader(load_model(open_checkpoint(path), threads=1), 64)


def read(reader: PromptReader, prompt: Any, **more: Any) -> Any:
    if isinstance(prompt, str):
        prompt = {"kind": "text", "text": prompt}
    return reader.work({"submit": 1, "prompt": prompt, **more})[0]


def refused(reader: PromptReader, prompt: Any, **more: Any) -> RefusedPrompt:
    with pytest.raises(RefusedPrompt) as caught:
        read(reader, prompt, **more)
    return caught.value


def test_a_text_begins_with_one_bos(reader: PromptReader) -> None:
    bos = reader.model.tokenizer.vocabulary.bos
    assert read(reader, "hello").prompt == [
        bos, *reader.model.tokenizer.encode("hello", special=True),
    ]  # fmt: skip
    assert read(reader, "<s>hello").prompt.count(bos) == 1


def test_limits_follow_the_context(reader: PromptReader) -> None:
    tokens = {"kind": "tokens", "ids": [5] * 60}
    assert read(reader, tokens).limit == 5
    assert read(reader, tokens, limit=3).limit == 3
    error = refused(reader, {"kind": "tokens", "ids": [5] * 64})
    assert (error.status, error.more["n_prompt_tokens"], error.more["n_ctx"]) == (400, 64, 64)
    assert refused(reader, {"kind": "tokens", "ids": []}).more["param"] == "prompt"


def test_sampling_of_a_request_goes_before_the_defaults(reader: PromptReader) -> None:
    options = {"temperature": 0.1, "seed": 9, "presence_penalty": 1.0, "logit_bias": [[7, -1.0]]}
    work = read(reader, "a", sampling=options, ignore_eos=True)
    sampling = work.rules.sampling
    assert (sampling.temperature, sampling.seed, sampling.top_k) == (
        0.1, 9, reader.defaults.top_k,
    )  # fmt: skip
    assert work.rules.presence_penalty == 1.0
    stops = dict.fromkeys(reader.model.tokenizer.stops, float("-inf"))
    assert work.rules.logit_bias == {7: -1.0, **stops}


def test_a_gap_is_written_in_the_order_of_its_tokens(reader: PromptReader) -> None:
    encode = reader.model.tokenizer.encode
    prompt = {
        "kind": "infill", "prefix": "one", "suffix": "two", "begun": "th",
        "extra": [{"filename": "f", "text": "more"}],
    }  # fmt: skip
    assert refused(reader, prompt).status == 501
    bos = reader.model.tokenizer.vocabulary.bos
    marks = {"fim_pre": 10, "fim_suf": 11, "fim_mid": 12}
    try:
        reader.infill_tokens = marks
        assert read(reader, prompt).prompt == [
            bos, 10, *encode("more\none"), 11, *encode("two"), 12, *encode("th", continues=True),
        ]  # fmt: skip
        reader.infill_tokens = {**marks, "fim_rep": 13, "fim_sep": 14}
        ids = read(reader, {**prompt, "extra": [{"filename": "f", "text": "m"}]}).prompt
        assert ids[:2] == [bos, 13] and ids.count(14) == 2
        assert ids[-len(encode("th", continues=True)) - 1] == 12
    finally:
        reader.infill_tokens = None


def test_tokens_for_gaps_are_found_by_key_and_by_text(tmp_path: Path) -> None:
    tokenizer = byte_pairs(tmp_path / "v.gguf", [])
    names = {"<|fim_prefix|>": 7, "<|fim_suffix|>": 8, "<|fim_middle|>": 9, "<|file_sep|>": 10}
    vocabulary = replace(tokenizer.vocabulary, ids=names)
    by_text = {"fim_pre": 7, "fim_suf": 8, "fim_mid": 9, "fim_sep": 10}
    assert read_infill_tokens({}, vocabulary) == by_text
    key = {"tokenizer.ggml.fim_pre_token_id": 20}
    assert read_infill_tokens(key, vocabulary) == {**by_text, "fim_pre": 20}
    outside = {"tokenizer.ggml.fim_pre_token_id": 10**6}
    assert read_infill_tokens(outside, vocabulary) == by_text
    assert read_infill_tokens(key, tokenizer.vocabulary) is None


def test_the_context_fits_the_memory(reader: PromptReader, monkeypatch: pytest.MonkeyPatch) -> None:
    model = reader.model
    full = model.cache(model.context_length).max_bytes
    free = int(full * 2 / memory.MEMORY_SHARE) + 8
    monkeypatch.setattr(memory, "MIN_CONTEXT_TOKENS", 16)
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    assert memory.fit_context(model, 2, None) == model.context_length
    assert memory.fit_context(model, 4, None) == model.context_length // 2
    assert memory.fit_context(model, 2, None, reserved_bytes=free // 2) == model.context_length // 2
    assert memory.fit_context(model, 2, model.context_length) == model.context_length
    with pytest.raises(MeasurementError, match="--parallel"):
        memory.fit_context(model, 5, model.context_length)
    with pytest.raises(MeasurementError, match="more than the model's"):
        memory.fit_context(model, 1, model.context_length + 1)


def test_without_llguidance_a_schema_is_refused_with_the_line_for_pip(
    reader: PromptReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingPackage, match=r'pip install "zeropoint\[grammar\]"'):
        read(reader, "a", grammar={"schema": SCHEMA})


def test_a_schema_is_followed_by_a_model_that_knows_no_json(reader: PromptReader) -> None:
    """The model is random, and its tokens are drawn at a high temperature."""
    pytest.importorskip("llguidance")
    model = reader.model
    reader = PromptReader(model, 512)
    for seed in range(3):
        scheduler = Scheduler(model, slots=1, capacity=512, cache_budget_bytes=0)
        sampling = {"seed": seed, "temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
        scheduler.add(read(reader, "a", grammar={"schema": SCHEMA}, sampling=sampling, limit=300))
        text, reason = "", ""
        while scheduler.busy:
            for event in scheduler.step():
                text += event.get("text", "")
                reason = event.get("reason", reason)
        if reason == "stop":
            value = json.loads(text)
            assert set(value) == {"a", "b"} and value["b"] == "x" and 0 <= value["a"] <= 99
        else:  # blanks are allowed, and a random model may write many
            assert reason == "limit" and text.lstrip().startswith("{")


def test_a_schema_that_cannot_be_compiled_is_an_error_of_the_request(reader: PromptReader) -> None:
    pytest.importorskip("llguidance")
    error = refused(reader, "a", grammar={"schema": {"type": "nothing"}})
    assert (error.status, error.more["param"]) == (400, "response_format")
    mask = read(reader, "a", grammar={"lark": 'start: "b" "c"'}).mask
    allowed = np.flatnonzero(mask.allowed())
    pieces = {reader.model.tokenizer.piece(int(one)) for one in allowed}
    assert pieces <= {b"b", b"bc"} and b"b" in pieces
    first = next(int(one) for one in allowed if reader.model.tokenizer.piece(int(one)) == b"b")
    mask.accept(first)
    assert not mask.complete


def test_no_path_of_the_model_is_in_an_error(reader: PromptReader) -> None:
    error = refused(reader, {"kind": "chat", "messages": [{"role": "user", "content": "x"}]})
    assert error.status == 400 and str(Path(reader.model.checkpoint.path).parent) not in str(error)
