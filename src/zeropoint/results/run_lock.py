"""The lock of a run folder: one process at a time writes a run, and any number may read it.

The folder itself is locked, so nothing is left behind, and the lock ends with its process. A folder
that is locked twice in one process is locked once: a verb may open its run in several places.
"""

import contextlib
import os
from pathlib import Path
from weakref import WeakValueDictionary

from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.atomic import MAX_CLAIM_ATTEMPTS, names_file, plain_errors
from zeropoint.errors import CheckpointError


class RunLock:
    """The lock of one folder, held until the last reference to it is gone.

    A folder that was `created` for a run that never began is then removed again.
    """

    def __init__(self, path: Path, descriptor: int, *, created: bool) -> None:
        self.path = path
        self.descriptor = descriptor
        self.process = os.getpid()
        self.created = created

    def __del__(self) -> None:
        if self.created and self.process == os.getpid():
            with contextlib.suppress(OSError):  # mostly: it is not empty
                if names_file(self.path, self.descriptor):
                    os.rmdir(self.path)
        os.close(self.descriptor)


_held: "WeakValueDictionary[tuple[int, int], RunLock]" = WeakValueDictionary()


def lock_run(path: Path) -> RunLock:
    """Create the folder if it does not exist, and lock it.

    Raises CheckpointError if another process has locked it, or if `path` is not a folder.
    """
    real = Path(os.path.realpath(path))
    with plain_errors(path):
        for _ in range(MAX_CLAIM_ATTEMPTS):
            created = not real.exists()
            try:
                os.makedirs(real, exist_ok=True)
                descriptor = io.open_dir(real)
            except (FileExistsError, NotADirectoryError):
                raise CheckpointError(
                    path, "is not a folder; choose another run folder (--run)"
                ) from None
            except FileNotFoundError:
                continue  # removed since it was created
            lock = _lock_of(path, descriptor, created=created)
            if names_file(real, lock.descriptor):
                return lock
    raise CheckpointError(path, "cannot be locked: another process keeps removing it")


def _lock_of(path: Path, descriptor: int, *, created: bool) -> RunLock:
    """Return the lock of an open folder: the one that this process has, or a new one."""
    status = os.fstat(descriptor)
    held = _held.get((status.st_dev, status.st_ino))
    # A forked child inherits the table; the lock in it is its parent's.
    if held and held.process == os.getpid():
        os.close(descriptor)
        return held
    lock = RunLock(Path(os.path.realpath(path)), descriptor, created=False)
    if not io.lock(descriptor):
        raise CheckpointError(
            path, "is in use by another process; wait until it ends, or choose another folder"
        )
    lock.created = created
    _held[status.st_dev, status.st_ino] = lock
    return lock
