"""Keys and jobs that survive a restart: who may read them, and when they are replaced."""

import json
import time
from pathlib import Path

import pytest

from support.studio_server import running
from support.tiny_models import write_model
from zeropoint.cache import cache_directory
from zeropoint.errors import CheckpointError
from zeropoint.studio.http.guard import AccessKeys
from zeropoint.studio.http.job_list import JobList
from zeropoint.studio.http.jobs import JobCommand, JobQueue
from zeropoint.studio.http.kept_keys import kept_keys, open_studio, record_of
from zeropoint.studio.http.timeouts import listen


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_directory()


def opened(root: Path, port: int | None = None, *, new_key: bool = False) -> AccessKeys:
    """Start and end a studio of this root."""
    found, keys = open_studio(root, port, new_key=new_key)
    found.close()
    return keys


def test_a_folder_keeps_its_port_and_its_secrets(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert opened(tmp_path) == first and kept_keys(tmp_path) == first
    other = opened(tmp_path / "other")
    assert {other.token, other.cookie}.isdisjoint({first.token, first.cookie})
    free = listen(0)
    port = free.getsockname()[1]
    free.close()
    moved = opened(tmp_path, port)
    assert (moved.port, moved.token, moved.cookie) == (port, first.token, first.cookie)


def test_a_new_key_replaces_the_old_one_and_keeps_the_port(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path, new_key=True)
    assert second.port == first.port
    assert {second.token, second.cookie}.isdisjoint({first.token, first.cookie})
    assert opened(tmp_path) == second


def test_a_second_studio_of_a_folder_gets_keys_of_its_own(tmp_path: Path) -> None:
    socket, first = open_studio(tmp_path)
    socket.listen()
    second = opened(tmp_path)
    assert second.port != first.port and second.token != first.token
    assert kept_keys(tmp_path) == first
    with pytest.raises(CheckpointError, match="not available"):
        open_studio(tmp_path, first.port)
    socket.close()


def test_only_the_owner_can_read_the_keys_and_the_jobs(tmp_path: Path, cache: Path) -> None:
    opened(tmp_path)
    JobList(record_of(tmp_path, "jobs")).save([])
    files = [cache / record_of(tmp_path, what) for what in ("keys", "jobs")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]


@pytest.mark.parametrize("damage", ["readable", "link", "short", "text", "port", "same"])
def test_keys_that_somebody_else_may_know_are_not_used(
    tmp_path: Path, cache: Path, damage: str
) -> None:
    first = opened(tmp_path)
    path = cache / record_of(tmp_path, "keys")
    record = json.loads(path.read_text())
    if damage == "readable":
        path.chmod(0o640)
    elif damage == "link":
        path.rename(tmp_path / "keys.json")
        path.symlink_to(tmp_path / "keys.json")
    else:
        changed = {"short": {"token": "x"}, "port": {"port": "80"}, "text": {"cookie": 3},
                   "same": {"cookie": record["token"]}}[damage]  # fmt: skip
        path.write_text(json.dumps(record | changed))
    assert kept_keys(tmp_path) is None
    assert opened(tmp_path).token != first.token


def test_jobs_are_listed_after_a_restart_and_those_that_had_not_ended_can_be_resumed(
    tmp_path: Path,
) -> None:
    write_model(tmp_path / "tiny.gguf")
    kept = JobList(record_of(tmp_path, "jobs"))
    queue = JobQueue(keep=kept.save)
    asked = {"verb": "quantize", "to": "Q4_0"}
    words = [str(tmp_path / "tiny.gguf"), str(tmp_path / "small.gguf"), "--to", "Q4_0"]
    folder = str(tmp_path / "made")
    command = JobCommand(
        "quantize", [*words, "--run", folder], "made", asked, title="Make smaller", folder=folder
    )
    first = queue.start(command)
    while first.ended is None:
        time.sleep(0.02)
    lost = queue.start(JobCommand("quantize", ["missing.gguf", "x.gguf"], "lost", asked))
    while not kept.load() or kept.load()[0].state != "failed":  # its end has been stored
        time.sleep(0.02)
    queue._jobs[lost.id].state = "running"  # as it is stored when the studio is killed meanwhile
    kept.save(queue.listed())
    again = JobQueue(earlier=kept.load()).listed()
    assert [job.state for job in again] == ["interrupted", "done"]
    done = again[1].as_page_data()
    assert "bits per weight" in done["result"]["finding"] and done["title"] == "Make smaller"
    before = first.as_page_data()
    assert {**done, "seconds": 0} == {**before, "seconds": 0}
    new = JobQueue(earlier=kept.load()).start(JobCommand("quantize", [], "new"))
    assert new.id == 3, "a number names one job"


def test_a_damaged_list_of_jobs_is_empty(tmp_path: Path, cache: Path) -> None:
    kept = JobList(record_of(tmp_path, "jobs"))
    assert kept.load() == []
    kept.save([])
    for text in ("{}", "[3]", '[{"id": 1}]', "nothing"):
        (cache / record_of(tmp_path, "jobs")).write_text(text)
        assert kept.load() == []


def test_a_failed_job_has_the_reason_in_words(tmp_path: Path) -> None:
    queue = JobQueue()
    job = queue.start(JobCommand("quantize", ["missing.gguf", "x.gguf", "--to", "Q4_0"], "x"))
    while job.ended is None:
        time.sleep(0.02)
    shown = job.as_page_data()
    assert shown["state"] == "failed" and "issing.gguf" in shown["error"]
    assert not shown["error"].startswith("error") and "\n" not in shown["error"]


def test_a_browser_without_the_key_gets_a_page_and_a_program_gets_a_sentence(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as studio:
        host = ("Host", studio.host)
        page = studio.ask("GET", "/jobs", [host, ("Accept", "text/html,*/*")])
        assert page.status == 403 and b"<h1>The studio needs its key</h1>" in page.body
        assert (
            str(tmp_path).encode() not in page.body and studio.keys.token.encode() not in page.body
        )
        said = studio.ask("GET", "/jobs", [host, ("Accept", "*/*")])
        assert said.status == 403 and b"<" not in said.body and b"zeropoint studio" in said.body
