"""Bodies of requests that no page sends, and what the studio answers when something goes wrong."""

import json
from collections.abc import Iterator

import pytest

from support.studio_server import Studio, running
from support.tiny_models import write_model


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("bodies")
    write_model(root / "tiny.gguf")
    with running(root) as found:
        yield found


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "1e400", "NaN", "9" * 5000])
def test_a_number_of_any_size_is_a_400(studio: Studio, number: str) -> None:
    model = studio.id_of("tiny.gguf")
    bodies = {
        "/api/chat": {"models": [model], "talk": "1", "text": "x", "tokens": 6, "seed": 3,
                      "temperature": 1.0},
        "/api/plan": {"sizes": ["7B"], "devices": ["here"], "ctx": 4096, "users": 1, "ssd": 1},
        "/api/jobs/start": {"verb": "measure", "model": model, "reference": model, "chunks": 2},
        f"/api/models/{model}/tensors/0/product": {"kind": "seed", "row": 0, "unit": 0, "seed": 1},
        f"/api/models/{model}/tensors/0/ablate": {"row": 0, "column": 0, "prompt": "x"},
    }  # fmt: skip
    tried = 0
    for path, body in bodies.items():
        for key, value in body.items():
            if isinstance(value, int | float):
                sent = json.dumps({**body, key: "@"}).replace('"@"', number)
                answer = studio.post(path, sent.encode())
                assert answer.status == 400, f"{path} {key}: {answer.status} {answer.body!r}"
                tried += 1
    assert tried >= 10


def test_an_upload_that_stops_prints_no_traceback(
    studio: Studio, capfd: pytest.CaptureFixture[str]
) -> None:
    head = (
        f"POST /api/chat HTTP/1.1\r\nHost: {studio.host}\r\nCookie: {'='.join(studio.cookie[1:])}"
        f"\r\nOrigin: http://{studio.host}\r\nContent-Length: 1000\r\n\r\n"
    )
    with studio.connect() as opened:
        opened.sendall(head.encode() + b'{"models')
    assert studio.get("/plan").status == 200
    assert capfd.readouterr().err == ""


def test_a_bug_is_one_sentence_and_status_500(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("zeropoint.studio.pages.plan.speed_page", fail)
    answer = studio.get("/speed")
    assert answer.status == 500 and b"Please report it" in answer.body
    (record,) = caplog.records
    assert record.getMessage() == "bug: KeyError: 'a bug'" and record.exc_info is None
