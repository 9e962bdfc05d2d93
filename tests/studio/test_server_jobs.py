"""Jobs: commands in processes of their own, whose words are checked, watched and cancelled."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studio_server import Studio, running

from tinymodels import write_model
from zeropoint.studio.library import Library
from zeropoint.studio.starting import command


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("jobs")
    write_model(root / "tiny.gguf")
    (root / "taken.gguf").write_bytes(b"mine")
    with running(root) as found:
        yield found


def post(studio: Studio, path: str, words: object) -> tuple[int, dict[str, Any]]:
    answer = studio.post(path, json.dumps(words).encode())
    return answer.status, json.loads(answer.body)


def listed(studio: Studio, id: int) -> dict[str, Any]:
    return next(job for job in json.loads(studio.get("/api/jobs").body) if job["id"] == id)


def ended(studio: Studio, id: int) -> dict[str, Any]:
    until = time.monotonic() + 60
    while (job := listed(studio, id))["state"] in ("waiting", "running"):
        assert time.monotonic() < until, job
        time.sleep(0.05)
    return job


def test_a_job_is_the_command_and_leaves_what_it_leaves(studio: Studio) -> None:
    model = studio.id_of("tiny.gguf")
    words = {"verb": "quantize", "model": model, "to": "Q8_0", "name": "small"}
    status, job = post(studio, "/api/jobs/start", words)
    assert status == 200 and job["command"].startswith("zeropoint quantize tiny.gguf small.gguf")
    assert listed(studio, job["id"])["state"] in ("waiting", "running")
    found = ended(studio, job["id"])
    assert (found["state"], found["done"]) == ("done", 1.0), found["said"]
    assert (studio.root / "small.gguf").read_bytes()[:4] == b"GGUF"
    assert found["run"] == studio.id_of("small-made", "run")
    assert studio.get(f"/report?run={found['run']}").status == 200
    assert post(studio, "/api/jobs/start", words)[0] == 409


def test_a_job_that_fails_says_why(studio: Studio) -> None:
    words = {"verb": "measure", "model": studio.id_of("taken.gguf"), "chunks": 2,
             "reference": studio.id_of("tiny.gguf")}  # fmt: skip
    _, job = post(studio, "/api/jobs/start", words)
    found = ended(studio, job["id"])
    assert found["state"] == "failed" and "taken.gguf" in "".join(found["said"])
    assert (studio.root / "taken.gguf").read_bytes() == b"mine"


def test_one_waits_for_the_other_and_both_can_be_cancelled(studio: Studio) -> None:
    words = {
        "verb": "ladder",
        "model": studio.id_of("tiny.gguf"),
        "levels": "16,8,4",
        "chunks": 5000,
    }
    first = post(studio, "/api/jobs/start", words)[1]["id"]
    second = post(studio, "/api/jobs/start", words | {"name": "other"})[1]["id"]
    until = time.monotonic() + 30
    while listed(studio, first)["state"] != "running":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert listed(studio, second)["state"] == "waiting"
    assert post(studio, f"/api/jobs/{second}/cancel", {})[1]["state"] == "cancelled"
    post(studio, f"/api/jobs/{first}/cancel", {})
    assert ended(studio, first)["state"] == "cancelled"
    assert ended(studio, second)["seconds"] is None, "it never began"
    assert post(studio, "/api/jobs/99/cancel", {})[0] == 404


WRONG = [
    ({"verb": "run"}, 400), ({"verb": "quantize", "to": "--force"}, 400), ({"to": "x.recipe"}, 400),
    ({"to": "../x"}, 400), ({"name": "../out"}, 400), ({"name": "/etc/passwd"}, 400),
    ({"name": "-o"}, 400), ({"name": ".hidden"}, 400), ({"name": "a b"}, 400),
    ({"name": "x" * 65}, 400), ({"name": "a\x00"}, 400), ({"name": "a\n"}, 400),
    ({"name": "taken"}, 409), ({"model": "../tiny"}, 404), ({"model": None}, 404),
    ({"model": 3}, 404),
    ({"verb": "measure", "reference": "x", "chunks": 1}, 404),
    ({"verb": "ladder", "levels": "--help", "chunks": 1}, 400),
    ({"verb": "ladder", "levels": "4; rm", "chunks": 1}, 400),
    ({"verb": "ladder", "levels": "4", "chunks": 0}, 400),
    ({"verb": "ladder", "levels": "4", "chunks": "1"}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status"), WRONG, ids=str)
def test_words_of_a_job_are_checked(studio: Studio, words: dict[str, Any], status: int) -> None:
    known = {"verb": "quantize", "model": studio.id_of("tiny.gguf"), "to": "Q4_0"}
    before = studio.get("/api/jobs").body
    found, told = post(studio, "/api/jobs/start", known | words)
    assert found == status and told["error"]
    assert len(json.loads(studio.get("/api/jobs").body)) == len(json.loads(before))


def test_no_word_of_a_page_begins_with_a_dash(tmp_path: Path) -> None:
    write_model(tmp_path / "--help.gguf")
    library = Library(tmp_path)
    (entry,) = library.listing().of("model")
    _, words, _ = command({"verb": "quantize", "model": entry.id, "to": "Q4_0"}, library)
    assert words[0] == str(tmp_path / "--help.gguf") and words[0].startswith("/")
    assert words[1] == str(tmp_path / "help-Q4_0.gguf")


def test_the_page_starts_watches_and_cancels(studio: Studio, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    bad: list[str] = []
    page.on("pageerror", lambda error: bad.append(str(error)))
    page.goto(f"http://{studio.host}/jobs?token={studio.keys.token}")
    page.wait_for_selector("html[data-ready]", state="attached")
    page.locator('[data-control="model"]').select_option(studio.id_of("tiny.gguf"))
    page.locator('[data-control="to"]').select_option("Q4_0")
    page.locator('[data-control="name"]').fill("mine")
    page.locator('[data-control="name"]').press("Enter")
    assert "jobs.name=mine" in page.url
    page.locator('[data-control="start"]').click()
    page.wait_for_selector('[data-state="done"]:has-text("mine.gguf") a[href^="/report"]')
    assert (studio.root / "mine.gguf").exists()
    page.locator('[data-control="start"]').click()
    page.wait_for_selector(".problem")
    assert "mine.gguf is there already" in page.locator(".problem").inner_text()
    context.close()
    assert bad == []
