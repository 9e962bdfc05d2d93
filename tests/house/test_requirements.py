"""requirements.lock: complete, hashed, and of the versions that constraints.txt names."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = re.compile(r"torch|triton|cuda-.*|nvidia-.*")  # the build depends on the machine


def normal(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, tuple[set[str], list[str]]]:
    """Return versions and hashes of each package in requirements.lock."""
    found: dict[str, tuple[set[str], list[str]]] = {}
    lines = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            match = re.match(r"([A-Za-z0-9._-]+)==(\S+)", line)
            assert match, line
            versions, hashes = found.setdefault(normal(match[1]), (set(), []))
            versions.add(match[2])
            hashes += re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
    return found


def pinned() -> dict[str, str]:
    """Return the versions in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, version in pairs}


def needed() -> set[str]:
    """Return every package that `zeropoint[all]` brings here, through all dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = ("models", "torch", "studio")
    waiting = [*project["dependencies"], *(one for name in names for one in extras[name])]
    waiting.remove("zeropoint[models]")  # of the extra torch
    assert set(extras["all"]) == {"zeropoint[torch,studio]"}, "then these three extras are all"
    found: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = normal(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
        if name in found or "extra ==" in requirement or LEFT_OUT.fullmatch(name):
            continue
        try:
            more = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            continue  # a marker leaves it out on this platform
        found.add(name)
        waiting += more
    return found


def test_everything_that_is_installed_is_locked_with_hashes() -> None:
    lock = locked()
    assert len(needed()) > 25
    assert needed() - set(lock) == set()
    assert [name for name, (_, hashes) in lock.items() if not hashes] == []
    assert [name for name in lock if LEFT_OUT.fullmatch(name)] == []


def test_the_lock_and_the_constraints_name_the_same_versions() -> None:
    pins = pinned()
    both = {name: versions for name, (versions, _) in locked().items() if name in pins}
    assert len(both) >= 10
    assert {name: versions for name, versions in both.items() if versions != {pins[name]}} == {}
