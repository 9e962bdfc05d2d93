"""The cache of second moments: what is found, what is deleted, and what is left where it was."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeropoint.calibration import moment_cache
from zeropoint.calibration.moment_cache import cache_moments, cached_bytes, find_moments
from zeropoint.calibration.moments import MomentFolder

NAME = "blk.0.attn_q.weight"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(moment_cache, "moment_directory", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def collected(path: Path, columns: int = 32) -> Path:
    moments = MomentFolder.start(path, {}, {})
    moments.begin({NAME: (8, columns)})
    moments.add(NAME, np.ones((4, columns), np.float32), None)
    moments.save([NAME])
    return path


def size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.iterdir())


def identity(text: str) -> Mapping[str, object]:
    return {"model": ["abc"], "corpus": text}


def test_moments_are_found_by_their_identity_and_no_other(tmp_path: Path, cache: Path) -> None:
    assert find_moments(identity("one")) is None
    place = cache_moments(collected(tmp_path / "work"), identity("one"))
    assert place.parent == cache and not (tmp_path / "work").exists()
    found = find_moments(identity("one"))
    assert found is not None and found.read(NAME)[1] == 4
    assert find_moments(identity("two")) is None
    assert cached_bytes() == size(place)


def test_the_moments_that_were_unused_for_longest_are_deleted_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {}
    for age, text in enumerate(("old", "used", "new")):
        places[text] = cache_moments(collected(tmp_path / text), identity(text))
        os.utime(places[text], (1000 + age, 1000 + age))
    os.utime(places["old"], (900, 900))
    find_moments(identity("used"))  # is now the newest
    monkeypatch.setattr(moment_cache, "BUDGET_BYTES", int(2.5 * size(places["new"])))
    cache_moments(collected(tmp_path / "last"), identity("last"))
    left = {text for text in (*places, "last") if find_moments(identity(text))}
    assert left == {"used", "last"}


def test_moments_that_another_process_uses_are_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = cache_moments(collected(tmp_path / "a"), identity("a"))
    program = (
        "import fcntl, os, sys\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_SH)\n"
        "print(flush=True)\nsys.stdin.read()\n"
    )
    words = [sys.executable, "-c", program, str(place)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        reader.stdout.readline()
        monkeypatch.setattr(moment_cache, "BUDGET_BYTES", size(place))
        assert cache_moments(collected(tmp_path / "b"), identity("b")) == tmp_path / "b"
        assert place.exists()
        reader.communicate()
    cache_moments(collected(tmp_path / "c"), identity("c"))
    assert not place.exists()


def test_moments_larger_than_the_budget_stay_where_they_are(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = cache_moments(collected(tmp_path / "a"), identity("a"))
    monkeypatch.setattr(moment_cache, "BUDGET_BYTES", 100)
    assert cache_moments(collected(tmp_path / "b"), identity("b")) == tmp_path / "b"
    assert kept.exists()  # nothing was deleted for them


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file")
    assert cache_moments(collected(tmp_path / "a"), identity("a")) == tmp_path / "a"


def test_moments_move_to_another_disk(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, stat = collected(tmp_path / "a"), Path.stat

    class OtherDisk:
        def __init__(self, found: os.stat_result) -> None:
            self.found = found

        def __getattr__(self, name: str) -> Any:
            return -1 if name == "st_dev" else getattr(self.found, name)

    def other(path: Path, **named: Any) -> Any:
        found = stat(path, **named)
        return OtherDisk(found) if path == cache else found

    monkeypatch.setattr(Path, "stat", other)
    place = cache_moments(folder, identity("a"))
    assert place.parent == cache and find_moments(identity("a"))
    assert [path.name for path in cache.iterdir()] == [place.name]
    monkeypatch.setattr(shutil, "copytree", full)
    second = collected(tmp_path / "b")
    assert cache_moments(second, identity("b")) == second


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space")
