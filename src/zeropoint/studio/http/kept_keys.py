"""The port and the secrets of a folder's studio, kept so that its addresses stay valid.

They are in a file of the cache directory that only its owner can read (mode 0600). A file that
others can read, or that somebody else owns, is not used: its secrets may be known.
"""

import hashlib
import os
import socket
import stat
from pathlib import Path

from zeropoint.cache import cache_directory, load_record, save_record
from zeropoint.errors import CheckpointError
from zeropoint.studio.http.guard import AccessKeys
from zeropoint.studio.http.timeouts import listen, new_keys

MIN_SECRET_CHARACTERS = 43  # of 32 random bytes as base64


def record_of(root: Path, what: str) -> str:
    """Return the cache file of a folder's studio. `what` is "keys" or "jobs"."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return f"studio/{digest}-{what}.json"


def open_studio(
    root: Path, port: int | None = None, *, new_key: bool = False
) -> tuple[socket.socket, AccessKeys]:
    """Return a listening socket and the keys of the studio of `root`.

    The port is that of the last time unless `port` is given (0: a free one); if another studio
    uses it, a free one, with keys that are not kept. `new_key` replaces the secrets. Raises
    CheckpointError if the given port is taken.
    """
    kept = kept_keys(root)
    if port is None and kept is not None:
        try:
            opened = listen(kept.port)
        except CheckpointError:  # probably this folder's studio is already open
            opened = listen(0)
            return opened, new_keys(opened)
    else:
        opened = listen(port or 0)
    keys = new_keys(opened)
    if kept is not None and not new_key:
        keys = AccessKeys(keys.port, kept.token, kept.cookie)
    record = {"port": keys.port, "token": keys.token, "cookie": keys.cookie}
    save_record(record_of(root, "keys"), record)
    return opened, keys


def kept_keys(root: Path) -> AccessKeys | None:
    """Return the keys of the last time; None if there are none, or others could have read them."""
    name = record_of(root, "keys")
    try:
        status = (cache_directory() / name).lstat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.getuid():
        return None
    match load_record(name):
        case {"port": int(port), "token": str(token), "cookie": str(cookie)}:
            long_enough = min(len(token), len(cookie)) >= MIN_SECRET_CHARACTERS
            if long_enough and token != cookie and 0 < port < 65536:
                return AccessKeys(port, token, cookie)
    return None
