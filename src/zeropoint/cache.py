"""The two directories that zeropoint uses on this machine, and small JSON records in the cache.

The cache holds what can be made again: the demo model, the benchmark of this machine and the
timings of `bench`. The configuration directory holds what the user wrote, such as `devices.toml`.
"""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_directory() -> Path:
    """Return the cache directory: $XDG_CACHE_HOME/zeropoint, by default ~/.cache/zeropoint."""
    return _directory("XDG_CACHE_HOME", ".cache")


def config_directory() -> Path:
    """Return the user's settings: $XDG_CONFIG_HOME/zeropoint, by default ~/.config/zeropoint."""
    return _directory("XDG_CONFIG_HOME", ".config")


def _directory(variable: str, default: str) -> Path:
    base = os.environ.get(variable, "")  # the XDG specification ignores a relative path
    return (Path(base) if os.path.isabs(base) else Path.home() / default) / "zeropoint"


def load_record(name: str) -> object:
    """Return the JSON value of a file in the cache; None if it is missing or damaged."""
    try:
        return json.loads((cache_directory() / name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def save_record(name: str, record: object) -> None:
    """Replace a JSON file in the cache atomically. A failure to write it is ignored.

    Only its owner can read the file: temporary files have mode 0600.
    """
    target = cache_directory() / name
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
            file.write(json.dumps(record, indent=1).encode())
        os.replace(file.name, target)
