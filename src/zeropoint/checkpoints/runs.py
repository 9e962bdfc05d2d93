"""The run folder: what a verb found, written as it goes, for report, studio and scripts to read.

    RUN/run.json           what was run on what (schema, verb, inputs, settings), and its results
    RUN/NAME.json          tables that belong to it
    RUN/NAME.npz           arrays that belong to it
    RUN/chunks/00017.npz   the arrays of one step, there as soon as the step is done

Every file appears complete or not at all, so a folder is readable at any moment, also after Ctrl-C
or a kill. A run is resumed by the same verb with the same inputs and settings; any other is
refused.
"""

import io as memory
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.atomic import PartialFile
from zeropoint.errors import CheckpointError

SCHEMA = 1
AGAIN = "delete it to measure it again"

Arrays = Mapping[str, NDArray[np.generic]]
T = TypeVar("T")


class RunFolder:
    """One run's folder. `identity` (verb, inputs, settings) tells whether a run may be resumed."""

    def __init__(self, path: Path, identity: Mapping[str, object]) -> None:
        self.path = path
        self.identity = identity

    @classmethod
    def start(
        cls, path: Path, verb: str, inputs: Mapping[str, object], settings: Mapping[str, object]
    ) -> "RunFolder":
        """Begin a run, or resume the one in `path` if it has the same identity.

        Raises CheckpointError if the folder holds another run, or anything that is not a run.
        """
        identity = json.loads(json.dumps({"verb": verb, "inputs": inputs, "settings": settings}))
        run = cls(path, identity)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            if not (path / "run.json").exists():
                raise CheckpointError(path, "is not empty and holds no run; choose another --run")
            found = cls.open(path)
            if found.identity != identity:
                differing = ", ".join(_differing(found.identity, identity))
                raise CheckpointError(
                    path, f"holds another run (its {differing} differ); choose another --run"
                )
            return run
        (path / "chunks").mkdir(parents=True, exist_ok=True)
        run._write_head({})
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open a run for reading. Raises CheckpointError if it is none, or of a later schema."""
        head = _read_json(path / "run.json")
        schema = head.get("schema")
        if schema != SCHEMA:
            raise CheckpointError(
                path / "run.json", f"schema {schema!r}; this version reads {SCHEMA}"
            )
        return cls(path, {key: head.get(key) for key in ("verb", "inputs", "settings")})

    @property
    def results(self) -> Mapping[str, object]:
        """What the run found; empty while it is not finished."""
        found = _read_json(self.path / "run.json").get("results")
        return found if isinstance(found, dict) else {}

    def finish(self, results: Mapping[str, object]) -> None:
        """Put the results into run.json."""
        self._write_head(results)

    def save_table(self, name: str, table: object) -> None:
        """Write NAME.json."""
        _write(self.path / f"{name}.json", json.dumps(table, indent=1).encode())

    def load_table(self, name: str) -> object:
        """Read NAME.json. Raises CheckpointError if it is missing or damaged."""
        path = self.path / f"{name}.json"
        try:
            return json.loads(_read_bytes(path))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(path, f"is damaged: {error}; {AGAIN}") from None

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
                raise TypeError("no list")
            return [read(row) for row in table]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise CheckpointError(path, f"is damaged; {AGAIN}") from None

    def save_arrays(self, name: str, arrays: Arrays) -> None:
        """Write NAME.npz."""
        _write(self.path / f"{name}.npz", _pack(arrays))

    def load_arrays(self, name: str) -> dict[str, NDArray[np.generic]]:
        """Read NAME.npz. Raises CheckpointError if it is missing or damaged."""
        return _unpack(self.path / f"{name}.npz")

    def save_chunk(self, index: int, arrays: Arrays) -> None:
        """Write the arrays of one step."""
        _write(self._chunk(index), _pack(arrays))

    def load_chunk(self, index: int) -> dict[str, NDArray[np.generic]]:
        """Read the arrays of one step."""
        return _unpack(self._chunk(index))

    def chunks_done(self) -> int:
        """How many steps from the first on are there without a gap."""
        done = 0
        while self._chunk(done).exists():
            done += 1
        return done

    def _chunk(self, index: int) -> Path:
        return self.path / "chunks" / f"{index:05}.npz"

    def _write_head(self, results: Mapping[str, object]) -> None:
        from zeropoint import __version__

        head = {"schema": SCHEMA, "zeropoint": __version__, **self.identity, "results": results}
        _write(self.path / "run.json", json.dumps(head, indent=1).encode())


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not the same of two runs, as "settings limit"."""
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


def _unpack(path: Path) -> dict[str, NDArray[np.generic]]:
    data = _read_bytes(path)
    try:
        with np.load(memory.BytesIO(data), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(path, f"is damaged: {error}; {AGAIN}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, error.strerror or str(error)) from None


def _read_json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(_read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"is not the JSON of a run: {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(path, "is not the JSON of a run: no object")
    return found


def _write(path: Path, data: bytes) -> None:
    with PartialFile(path) as part:
        part.write(data, 0)
        part.finish()
        part.publish()
