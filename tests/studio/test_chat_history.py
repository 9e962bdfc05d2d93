"""A conversation goes on where it was, also when the worker that held it is gone."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.studio_server import Studio, running
from support.tiny_models import write_model
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint

TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("history")
    write_model(root / "base.gguf", format="F32")
    with open_checkpoint(root / "base.gguf") as model:
        new = [NewTensor(info.name, info.shape, info.format) for info in model.tensors.values()]
        said = {**model.metadata, "tokenizer.chat_template": TEMPLATE}
        with create_checkpoint(root / "taught.gguf", new, said) as writer:
            for info in model.tensors.values():
                writer.write(info.name, model.read(info.name))
    with running(root) as found:
        yield found


def say(studio: Studio, name: str, talk: str, text: str, history: object) -> list[dict[str, Any]]:
    asked = {"models": [studio.id_of(name)], "talk": talk, "text": text, "tokens": 6, "seed": 3,
             "temperature": 1.0, "history": history}  # fmt: skip
    answer = studio.post("/api/chat", json.dumps(asked).encode())
    assert answer.status == 200, answer.body
    lines = answer.body.decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def ids(found: list[dict[str, Any]]) -> list[int]:
    return [record["id"] for record in found if "id" in record]


def prompt_tokens(found: list[dict[str, Any]]) -> int:
    return max(record["of"] for record in found if "of" in record)


def test_a_worker_that_does_not_know_a_conversation_gets_its_history(studio: Studio) -> None:
    """The answer is that of one message with the same words: the template joins all of them."""
    history = [["the rain", "in spain"], ["42", "return x"]]
    told = say(studio, "taught.gguf", "1", "the rain", history)
    whole = say(studio, "taught.gguf", "2", "the rain in spain 42 return x the rain", [])
    assert ids(told) == ids(whole) and len(ids(told)) == 6
    assert prompt_tokens(told) == prompt_tokens(whole)
    alone = say(studio, "taught.gguf", "3", "the rain", [])
    assert prompt_tokens(alone) < prompt_tokens(told)
    again = say(studio, "taught.gguf", "3", "the rain", history)
    assert prompt_tokens(again) < prompt_tokens(told), "what the worker itself holds counts"


def test_a_model_without_a_template_says_so(studio: Studio) -> None:
    found = say(studio, "base.gguf", "4", "the rain", [])
    assert [record for record in found if record.get("template") is False]
    assert not any("template" in record for record in say(studio, "taught.gguf", "5", "x", []))


@pytest.mark.parametrize("history", [{}, "x", [3], [["a"]], [["a", "b", "c"]], [["a", 3]],
                                     [["a", "b"]] * 501])  # fmt: skip
def test_a_history_of_the_wrong_kind_is_refused(studio: Studio, history: object) -> None:
    asked = {"models": [studio.id_of("base.gguf")], "talk": "6", "text": "x", "tokens": 1,
             "seed": 3, "temperature": 1.0, "history": history}  # fmt: skip
    assert studio.post("/api/chat", json.dumps(asked).encode()).status == 400
