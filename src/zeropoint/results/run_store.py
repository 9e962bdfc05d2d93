"""The run folder: results of a verb, written while it runs, for report, studio and scripts.

    RUN/run.json           what was run on what, when and where (schema, verb, inputs, settings,
                           origin), and its results
    RUN/NAME.json          tables that belong to it
    RUN/NAME.npz           arrays that belong to it
    RUN/chunks/00017.npz   the arrays of one step, there as soon as the step is done
    RUN/sha256.txt         the SHA-256 of each of these files

Every file appears complete or not at all, so a folder is readable at any moment, also after Ctrl-C
or a kill. One process at a time writes a run. A run is resumed by the same verb of the same version
of zeropoint with the same inputs and settings; any other is refused. A file that is not what the
run wrote is refused as damaged.
"""

import io as memory
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zeropoint._version import __version__
from zeropoint.checkpoints.files.atomic import PartialFile, names_file
from zeropoint.checkpoints.files.file_ops import Bytes
from zeropoint.checkpoints.source import RUN_FILE_BYTES, read_file
from zeropoint.errors import CheckpointError, printable
from zeropoint.results.run_checks import DAMAGE_EXCEPTIONS, ArrayRules, check_arrays
from zeropoint.results.run_journal import JOURNAL, RunJournal
from zeropoint.results.run_lock import RunLock, lock_run
from zeropoint.results.run_origin import RunOrigin, origin_now
from zeropoint.results.schema import SCHEMA, Record

MEASURE_AGAIN_ADVICE = "delete it to measure it again"
# Exceptions that numpy and zipfile raise for a file that is not an archive.
UNREADABLE = (
    *DAMAGE_EXCEPTIONS, EOFError, MemoryError, OSError, RuntimeError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_PART = re.compile(r"\..+\.part")

Arrays = Mapping[str, NDArray[np.generic]]
T = TypeVar("T")
K = TypeVar("K", bound=Record)


class RunFolder:
    """One run's folder. `identity` (verb, inputs, settings) decides whether a run may be resumed.

    Create one with `start`, which locks the folder while this object lives, or with `open`.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, object], lock: RunLock | None = None
    ) -> None:
        self.path = path
        self.identity = identity
        self.origin = RunOrigin()  # empty for a run of an earlier version
        self._lock = lock
        self._journal: RunJournal | None = RunJournal(path)

    @classmethod
    def start(
        cls, path: Path, verb: str, inputs: Mapping[str, object], settings: Mapping[str, object]
    ) -> "RunFolder":
        """Begin a run, or resume the one in `path` if it has the same identity.

        Raises CheckpointError if the folder holds another run, a run of another version or anything
        that is not a run, or if another process has it in use.
        """
        identity = json.loads(json.dumps({"verb": verb, "inputs": inputs, "settings": settings}))
        run = cls.reserve(path)
        run.identity = identity
        if not has_begun(path):
            (path / "chunks").mkdir(exist_ok=True)
            run.origin = origin_now()
            run._write_head({})
            return run
        run.origin = run._check_resumed(identity)
        return run

    @classmethod
    def reserve(cls, path: Path) -> "RunFolder":
        """Lock a folder for a run that `start` begins later, when its inputs are known.

        The same folder can be started in this process while this object lives. Raises
        CheckpointError if the folder holds anything that is not a run, or is in use.
        """
        run = cls(path, {}, lock_run(path))
        has_begun(path)
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open a run for reading. Raises CheckpointError for other folders and later schemas."""
        if not (path / "run.json").exists():
            raise CheckpointError(
                path,
                "is not a run folder; `measure --run DIR` and other commands make one",
            )
        head = _read_json(path / "run.json")
        schema = head.get("schema")
        if schema != SCHEMA:
            raise CheckpointError(
                path / "run.json", f"schema {schema!r}; this version reads {SCHEMA}"
            )
        run = cls(path, {key: head.get(key) for key in ("verb", "inputs", "settings")})
        if "origin" in head:
            run.origin = RunOrigin.from_json(head["origin"], path / "run.json", "origin")
        if "journal" not in head:  # of a version that kept no hashes
            run._journal = None
        return run

    @property
    def results(self) -> Mapping[str, object]:
        """Result of the run; empty while it is not finished."""
        results = _read_json(self.path / "run.json").get("results")
        return results if isinstance(results, dict) else {}

    def finish(self, results: Record | Mapping[str, object]) -> None:
        """Put the results into run.json."""
        self._write_head(results.to_json() if isinstance(results, Record) else results)
        if self._journal:
            self._journal.compact()

    def save_table(self, name: str, table: object) -> None:
        """Write NAME.json."""
        self.save_bytes(f"{name}.json", json.dumps(table, indent=1).encode())

    def load_table(self, name: str) -> object:
        """Read NAME.json. Raises CheckpointError if it is missing or damaged."""
        data = self.load_bytes(f"{name}.json")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise damaged(self.path / f"{name}.json", error) from None

    def load_rows(self, name: str, read: Callable[[Any], T]) -> list[T]:
        """Read NAME.json, a list, each row by `read`; nothing if it is not there yet.

        Raises CheckpointError if it is damaged: also where `read` raises what wrong types raise.
        """
        path = self.path / f"{name}.json"
        if not path.exists():
            return []
        table = self.load_table(name)
        try:
            if not isinstance(table, list):
                raise TypeError("expected a list")
            return [read(row) for row in table]
        except DAMAGE_EXCEPTIONS as error:
            raise damaged(path, error) from None

    def load_record(self, name: str, kind: type[K]) -> K:
        """Read NAME.json, one record. Raises CheckpointError if it is missing or damaged."""
        return kind.from_json(self.load_table(name), self.path / f"{name}.json")

    def load_records(self, name: str, kind: type[K]) -> list[K]:
        """Read NAME.json, a list of records; nothing if it is not there yet.

        Raises CheckpointError if it is damaged.
        """
        path = self.path / f"{name}.json"
        if not path.exists():
            return []
        table = self.load_table(name)
        if not isinstance(table, list):
            raise damaged(path, "expected a list")
        return [kind.from_json(row, path, f"[{at}]") for at, row in enumerate(table)]

    def save_arrays(self, name: str, arrays: Arrays) -> None:
        """Write NAME.npz."""
        self.save_bytes(f"{name}.npz", _pack(arrays))

    def load_arrays(
        self, name: str, rules: ArrayRules | None = None, **sizes: int
    ) -> dict[str, NDArray[np.generic]]:
        """Read NAME.npz; `rules` and `sizes` are those of `check_arrays`.

        Raises CheckpointError if it is missing or damaged.
        """
        data = self.load_bytes(f"{name}.npz")
        try:
            with np.load(memory.BytesIO(data), allow_pickle=False) as found:
                arrays = {key: found[key] for key in found.files}
            check_arrays(arrays, rules or {}, sizes)
            return arrays
        except UNREADABLE as error:
            raise damaged(self.path / f"{name}.npz", error) from None

    def save_chunk(self, index: int, arrays: Arrays) -> None:
        """Write the arrays of one step."""
        self.save_arrays(_chunk(index), arrays)

    def load_chunk(
        self, index: int, rules: ArrayRules | None = None, **sizes: int
    ) -> dict[str, NDArray[np.generic]]:
        """Read the arrays of one step; like `load_arrays`."""
        return self.load_arrays(_chunk(index), rules, **sizes)

    def chunk_path(self, index: int) -> Path:
        """Return where the arrays of one step are."""
        return self.path / f"{_chunk(index)}.npz"

    def chunks_done(self) -> int:
        """Return the number of consecutive steps that are present, counted from the first."""
        done = 0
        while self.chunk_path(done).exists():
            done += 1
        return done

    def save_bytes(self, name: str, data: Bytes) -> None:
        """Write a file of the run, NAME with its suffix; its hash goes into the journal first.

        Raises CheckpointError if the folder is in use by another process, or was replaced.
        """
        lock = self._lock or lock_run(self.path)  # of an opened run: for this file only
        if not names_file(Path(os.path.realpath(self.path)), lock.descriptor):
            raise CheckpointError(self.path, "was removed or replaced while the run was written")
        if self._journal:
            self._journal.note(name, data)
        with PartialFile(self.path / name) as part:
            part.write(data, 0)
            part.finish()
            part.publish()

    def load_bytes(self, name: str) -> bytes:
        """Read a file of the run. Raises CheckpointError if it was changed after the run."""
        data = _read_bytes(self.path / name)
        while self._journal and not self._journal.confirms(name, data):
            # It may have been replaced since, in a run that is being written.
            again = _read_bytes(self.path / name)
            if again == data:
                self.confirm(name, data)
            data = again
        return data

    def confirm(self, name: str, data: Bytes) -> None:
        """Raise CheckpointError if this content of a file differs from the run's."""
        if self._journal and not self._journal.confirms(name, data):
            raise damaged(self.path / name, f"its SHA-256 is not in {JOURNAL}")

    def _check_resumed(self, identity: Mapping[str, object]) -> RunOrigin:
        """Return the origin of the run in the folder; raise CheckpointError unless it is this."""
        stored = self.open(self.path)
        if stored.identity != identity:
            differing = ", ".join(_differing(stored.identity, identity))
            raise CheckpointError(
                self.path,
                f"holds another run (its {differing} differ); choose another run folder (--run)",
            )
        version = _read_json(self.path / "run.json").get("zeropoint")
        if version != __version__ or stored._journal is None:
            raise CheckpointError(
                self.path,
                f"was begun by {'an earlier state of ' if version == __version__ else ''}zeropoint "
                f"{printable(str(version))} and cannot be resumed by {__version__}; choose another "
                "run folder (--run), or delete it",
            )
        if not self._journal or not self._journal.confirms(
            "run.json", _read_bytes(self.path / "run.json")
        ):
            raise CheckpointError(
                self.path / "run.json",
                f"is damaged: its SHA-256 is not in {JOURNAL}; choose another run folder (--run)",
            )
        return stored.origin

    def _write_head(self, results: Mapping[str, object]) -> None:
        head: dict[str, object] = {"schema": SCHEMA, "zeropoint": __version__}
        if self._journal:
            head["journal"] = JOURNAL
        if self.origin.date:
            head["origin"] = self.origin.to_json()
        head |= {**self.identity, "results": results}
        self.save_bytes("run.json", json.dumps(head, indent=1).encode())


def has_begun(path: Path) -> bool:
    """Return whether a folder holds a run. One that was killed before its first file has not begun.

    Raises CheckpointError if the folder holds anything else.
    """
    if (path / "run.json").exists():
        return True
    chunks = path / "chunks"
    names = {entry.name for entry in path.iterdir()} - {JOURNAL}
    if chunks.is_dir() and not chunks.is_symlink():
        names |= {entry.name for entry in chunks.iterdir()}
        names -= {"chunks"}
    if any(not _PART.fullmatch(name) for name in names):
        raise CheckpointError(
            path, "is not empty and holds no run; choose another run folder (--run)"
        )
    return False


def damaged(path: Path, reason: object) -> CheckpointError:
    """Return the error for a file that differs from the one that the run wrote."""
    return CheckpointError(
        path, f"is damaged: {printable(str(reason), 120)}; {MEASURE_AGAIN_ADVICE}"
    )


def _chunk(index: int) -> str:
    return f"chunks/{index:05}"


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences of two runs as words, such as "settings limit"."""
    for key, value in wanted.items():
        other = found.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            names = [name for name in {**other, **value} if other.get(name) != value.get(name)]
            if names:
                yield f"{key} {' and '.join(names)}"
        elif other != value:
            yield key


def _pack(arrays: Arrays) -> bytes:
    buffer = memory.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _read_bytes(path: Path) -> bytes:
    return read_file(path, RUN_FILE_BYTES)


def _read_json(path: Path) -> dict[str, object]:
    try:
        data = json.loads(_read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"is not the JSON of a run: {error}") from None
    if not isinstance(data, dict):
        raise CheckpointError(path, "is not the JSON of a run: expected an object")
    return data
