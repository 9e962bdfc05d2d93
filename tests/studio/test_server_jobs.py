"""Jobs: commands in processes of their own, whose words are checked, watched and cancelled."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.studio_server import Studio, running
from support.tiny_models import write_model
from zeropoint.results.run_store import RunFolder
from zeropoint.studio.data.job_forms import FORMS, forms_for
from zeropoint.studio.data.library import Library
from zeropoint.studio.http.job_commands import command

TASKS = [{"prompt": "2 + 2 =", "answer": "4"}, {"prompt": "the rain", "regex": "."}]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("jobs")
    write_model(root / "tiny.gguf")
    write_model(root / "other.gguf", format="Q8_0")
    (root / "taken.gguf").write_bytes(b"mine")
    (root / "mine.jsonl").write_text("\n".join(map(json.dumps, TASKS)))
    (root / "book.txt").write_text("the rain in spain 42\n" * 600)
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
    assert found["step"] == "Writing small.gguf"
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
    ({"verb": "ladder", "levels": "4", "chunks": 1, "text": "/etc/passwd"}, 404),
    ({"verb": "ladder", "levels": "4", "chunks": 1, "requantize": "--force"}, 400),
    ({"verb": "drift", "reference": "x"}, 404), ({"verb": ["drift"]}, 400),
    ({"verb": "tasks", "models": []}, 400), ({"verb": "tasks", "models": "tiny"}, 400),
    ({"verb": "tasks", "models": ["--run"]}, 404), ({"verb": "tasks", "models": [["x"]]}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status"), WRONG, ids=str)
def test_words_of_a_job_are_checked(studio: Studio, words: dict[str, Any], status: int) -> None:
    known = {"verb": "quantize", "model": studio.id_of("tiny.gguf"), "to": "Q4_0"}
    before = studio.get("/api/jobs").body
    found, told = post(studio, "/api/jobs/start", known | words)
    assert found == status and told["error"]
    assert len(json.loads(studio.get("/api/jobs").body)) == len(json.loads(before))


DRIFT = {"verb": "drift", "prompts": 2, "length": 4, "chains": 0}


def models(studio: Studio) -> dict[str, Any]:
    ids = studio.id_of("other.gguf"), studio.id_of("tiny.gguf")
    return {"model": ids[0], "reference": ids[1], "models": [ids[1], ids[0]]}


ASKED = {
    "drift": (DRIFT | {"chains": 1}, "drift other.gguf --ref tiny.gguf --count 2 --tokens 4 "
              "--chains 1 --run D"),
    "tasks": ({"verb": "tasks", "tasks": "mine.jsonl", "count": 2, "answer": 4},
              "tasks tiny.gguf other.gguf --tasks mine.jsonl --count 2 --tokens 4 --run T"),
    "compare": ({"verb": "compare", "text": "book.txt", "chunks": 2, "extra_tasks": "mine.jsonl",
                 "extra_chains": 0}, "compare tiny.gguf other.gguf --text book.txt --chunks 2 "
                "--tasks mine.jsonl --chains 0 --run C"),
}  # fmt: skip


@pytest.mark.parametrize("verb", ASKED)
def test_what_is_made_of_models_is_shown_where_the_job_says(studio: Studio, verb: str) -> None:
    asked, told = ASKED[verb]
    for key, kind in (("tasks", "tasks"), ("extra_tasks", "tasks"), ("text", "text")):
        if key in asked:
            asked = asked | {key: studio.id_of(asked[key], kind)}
    name = verb[0].upper()
    status, job = post(studio, "/api/jobs/start", models(studio) | asked | {"name": name})
    assert (status, job["command"]) == (200, f"zeropoint {told}")
    assert ended(studio, job["id"])["state"] == "done", listed(studio, job["id"])["said"]
    assert RunFolder.open(studio.root / name).results
    assert len(job["see"]) == 2
    for address in job["see"]:
        answer = studio.get(address.partition("#")[0])
        assert answer.status == 200 and name.encode() in answer.body
    taken, why = post(studio, "/api/jobs/start", models(studio) | asked | {"name": name})
    assert taken == 409 and "choose another name" in why["error"]


def test_code_of_models_runs_only_where_somebody_allowed_it(studio: Studio) -> None:
    words = models(studio) | {"verb": "tasks", "tasks": "python", "count": 1, "answer": 1}
    status, told = post(studio, "/api/jobs/start", words)
    assert status == 400 and "allow that" in told["error"]
    assert post(studio, "/api/jobs/start", words | {"allow_code": "yes"})[0] == 400
    found = command(words | {"allow_code": True}, studio.library).words
    assert found[2:5] == ["--tasks", "python", "--allow-code"]


def test_a_cancelled_job_goes_on_and_what_is_done_stays(studio: Studio) -> None:
    words = models(studio) | {"verb": "measure", "chunks": 3, "name": "on", "text": studio.id_of(
        "book.txt", "text")}  # fmt: skip
    long = words | {"chunks": 5000, "text": "", "name": "long"}
    first = post(studio, "/api/jobs/start", long)[1]
    twice, told = post(studio, "/api/jobs/start", long)
    assert twice == 409 and "unfinished" in told["error"]
    until = time.monotonic() + 30
    while not (studio.root / "long" / "chunks" / "00000.npz").exists():
        assert time.monotonic() < until, listed(studio, first["id"])["said"]
        time.sleep(0.02)
    post(studio, f"/api/jobs/{first['id']}/cancel", {})
    broken = ended(studio, first["id"])
    kept = RunFolder.open(studio.root / "long").chunks_done()
    assert broken["state"] == "cancelled" and broken["resumes"] and kept
    status, again = post(studio, "/api/jobs/start", broken["asked"])
    assert status == 200, again
    assert again["command"] == first["command"] and again["id"] != first["id"]
    post(studio, f"/api/jobs/{again['id']}/cancel", {})
    assert ended(studio, again["id"])["state"] == "cancelled"
    assert RunFolder.open(studio.root / "long").chunks_done() >= kept

    job = post(studio, "/api/jobs/start", words)[1]
    assert ended(studio, job["id"])["state"] == "done"
    run = RunFolder.open(studio.root / "on")
    before = run.results
    run.finish({})  # as if it had been stopped just before
    job = post(studio, "/api/jobs/start", job["asked"])[1]
    assert ended(studio, job["id"])["state"] == "done"
    assert run.results["kl"] == before["kl"]


def test_a_studio_that_a_script_started_in_the_background_can_cancel(studio: Studio) -> None:
    words = {"verb": "ladder", "model": studio.id_of("tiny.gguf"), "levels": "16,8,4",
             "chunks": 5000, "name": "deaf"}  # fmt: skip
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does to what ends with &
    try:
        id = post(studio, "/api/jobs/start", words)[1]["id"]
        until = time.monotonic() + 60
        while not listed(studio, id)["done"]:
            assert time.monotonic() < until, listed(studio, id)
            time.sleep(0.05)
        post(studio, f"/api/jobs/{id}/cancel", {})
        assert ended(studio, id)["state"] == "cancelled"
    finally:
        signal.signal(signal.SIGINT, before)


def test_only_an_unfinished_run_of_the_verb_goes_on(studio: Studio, tmp_path: Path) -> None:
    words = models(studio) | DRIFT
    for verb in ("drift", "tasks"):
        RunFolder.start(studio.root / f"of-{verb}", verb, {}, {})
    (studio.root / "empty").mkdir()
    status, _ = post(studio, "/api/jobs/start", words | {"name": "of-tasks"})
    assert status == 409
    assert post(studio, "/api/jobs/start", words | {"name": "empty"})[0] == 409
    job = post(studio, "/api/jobs/start", words | {"name": "of-drift"})[1]
    found = ended(studio, job["id"])
    assert found["state"] == "failed" and "holds another run" in "".join(found["said"])
    chunks = studio.root / "of-drift" / "chunks"
    chunks.rmdir()
    chunks.symlink_to(tmp_path)
    assert post(studio, "/api/jobs/start", words | {"name": "of-drift"})[0] == 409
    (studio.root / "linked").symlink_to(studio.root / "of-drift")
    assert post(studio, "/api/jobs/start", words | {"name": "linked"})[0] == 409
    assert not list(tmp_path.iterdir())


def test_files_of_text_and_tasks_are_named_by_id_and_lie_below_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "secret.txt"
    root.mkdir()
    outside.write_text("secret")
    (root / "link.txt").symlink_to(outside)
    (root / "own.txt").write_text("mine")
    (root / ".hidden.txt").write_text("mine")
    library = Library(root)
    assert [entry.name for entry in library.listing().of("text")] == ["own.txt"]
    (entry,) = library.listing().of("text")
    (root / "own.txt").unlink()
    (root / "own.txt").symlink_to(outside)
    with pytest.raises(KeyError):
        library.find(entry.id, "text")
    with pytest.raises(KeyError):
        library.find(entry.id, "tasks")


def test_fields_of_one_key_begin_alike() -> None:
    """They share their place in the address."""
    defaults: dict[str, Any] = {}
    for form in FORMS.values():
        for field in form.fields:
            assert defaults.setdefault(field.key, field.default) == field.default, field


def test_a_form_begins_with_models_that_belong_together(tmp_path: Path) -> None:
    for age, name in enumerate(("other-Q4_0", "a-BF16", "a-Q4_0", "b-BF16", "a-Q8_0")):
        path = write_model(tmp_path / f"{name}.gguf", format="F16" if "BF16" in name else "Q8_0")
        os.utime(path, (1000 + age, 1000 + age))
    (form,) = forms_for(library := Library(tmp_path), ["drift"])
    defaults = {field["key"]: field["usual"] for field in form["fields"]}
    names = {entry.id: entry.name for entry in library.listing().of("model")}
    assert (names[defaults["model"]], names[defaults["reference"]]) == (
        "a-Q8_0.gguf",
        "a-BF16.gguf",
    )
    ((models, *_),) = (form["fields"] for form in forms_for(library, ["compare"]))
    assert models["usual"] == f"{defaults['reference']},{defaults['model']}"
    alone = tmp_path / "alone"
    write_model(alone.with_suffix(".gguf")).rename(alone.mkdir() or alone / "a.gguf")
    ((first, second, *_),) = (form["fields"] for form in forms_for(Library(alone), ["drift"]))
    assert first["usual"] == second["usual"] != ""


def test_no_word_of_a_page_begins_with_a_dash(tmp_path: Path) -> None:
    write_model(tmp_path / "--help.gguf")
    library = Library(tmp_path)
    (entry,) = library.listing().of("model")
    words = command({"verb": "quantize", "model": entry.id, "to": "Q4_0"}, library).words
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
    page.wait_for_selector('.problem[role="alert"]')
    assert "mine.gguf already exists" in page.locator('.problem[role="alert"]').inner_text()
    context.close()
    assert bad == []


def test_a_page_without_runs_starts_one_and_leads_to_it(
    browser: Any, tmp_path: Path, open_studio: Any
) -> None:
    write_model(tmp_path / "tiny.gguf")
    write_model(tmp_path / "other.gguf", format="Q8_0")
    with running(tmp_path) as empty:
        page = open_studio(empty)("/long-run")
        page.set_default_timeout(60_000)
        assert "Start a comparison" in page.locator("main").inner_text()
        for key, value in (("prompts", "2"), ("length", "4"), ("chains", "0")):
            page.locator(f'[data-control="{key}"]').fill(value)
            page.locator(f'[data-control="{key}"]').press("Enter")
        page.locator('[data-control="start"]').click()
        page.locator('[data-state="done"] a', has_text="long texts").click()
        page.wait_for_selector("html[data-ready] #f-survival", state="attached")
        assert "2 prompts" in page.locator("#f-survival").inner_text()
        page.evaluate("document.querySelector('[data-control=\"verb=tasks\"]').click()")
        chosen = page.locator('#f-jobs .chosen-list [data-control^="models-"]')
        chosen.nth(1).wait_for()
        assert sorted(chosen.all_inner_texts()) == ["other.gguf ×", "tiny.gguf ×"]
        assert not page.locator('[data-control="allow_code"]').is_checked()
        page.goto("about:blank")
