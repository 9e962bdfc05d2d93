"""The studio offers the run folders whose files all lie below its root."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support.studio_server import running
from zeropoint.results.run_store import RunFolder
from zeropoint.studio.data.library import Library


def write_run(path: Path) -> Path:
    """Write a finished run of quantize, with a table, arrays and one chunk."""
    run = RunFolder.start(path, "quantize", {"source": ["m.gguf"], "note": ""}, {"to": "Q8_0"})
    run.save_table("tensors", [])
    run.save_arrays("arrays", {"counts": np.zeros(3)})
    run.save_chunk(0, {"kl": np.zeros(3)})
    run.finish({"output_bytes": 10, "source_bytes": 20, "bits_per_weight": 4.5, "recipe": "Q8_0"})
    return path


def link_outside(run: Path, name: str) -> None:
    """Replace what is at `name` in the run by a link to the same thing in a run elsewhere."""
    outside = write_run(run.parents[1] / "outside") / name
    (run / name).rename(run.parents[1] / "moved")
    (run / name).symlink_to(outside)


def put_pipe(run: Path, name: str) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)


def put_device(run: Path, name: str) -> None:
    (run / name).unlink()
    (run / name).symlink_to("/dev/zero")


FILES = ["run.json", "tensors.json", "arrays.npz", "chunks/00000.npz"]
CHANGES = [(link_outside, name) for name in (*FILES, "chunks")]
CHANGES += [(change, name) for change in (put_pipe, put_device) for name in FILES]


@pytest.mark.parametrize(("change", "name"), CHANGES)
def test_a_run_with_a_file_from_elsewhere_is_not_offered(
    change: Callable[[Path, str], None], name: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    run, sound = write_run(root / "run"), write_run(root / "sound")
    library = Library(root)
    ids = {entry.path: entry.id for entry in library.listing().of("run")}
    assert set(ids) == {run, sound}
    change(run, name)
    with pytest.raises(KeyError):  # the listing is still the old one
        library.find(ids[run], "run")
    assert library.find(ids[sound], "run").path == sound
    library.forget()
    assert [entry.path for entry in library.listing().of("run")] == [sound]


def test_a_run_may_link_to_files_below_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    run = write_run(root / "run")
    (root / "kept").mkdir()
    for name, kept in (("run.json", "head.json"), ("chunks", "steps")):
        (run / name).rename(root / "kept" / kept)
        (run / name).symlink_to(root / "kept" / kept)
    library = Library(root)
    assert [entry.path for entry in library.listing().of("run")] == [run]


def test_the_server_shows_no_report_of_a_run_that_leads_outside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_run(root / "sound")
    leading = write_run(root / "leading")
    with running(root) as studio:
        address = f"/report?run={studio.id_of('leading', 'run')}"
        assert studio.get(address).status == 200
        link_outside(leading, "run.json")
        assert studio.get(address).status == 404
        assert studio.get(f"/report?run={studio.id_of('sound', 'run')}").status == 200
