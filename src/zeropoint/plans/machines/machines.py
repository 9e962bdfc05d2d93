"""Machines as data: memory, bandwidth, what they multiply natively; ours, the user's, and this one.

Rows come from `devices.toml` beside this file and from the user's own `devices.toml` in
$XDG_CONFIG_HOME/zeropoint (default ~/.config/zeropoint), which has the same form and wins:

    [device.my-server]
    name = "Two RTX 3090"
    family = "ampere"
    memory_gib = 48
    bandwidth_gbs = 936

A name that is asked for is a slug, exactly (`rtx3060-12gb`): parts of names would mix up variants.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from zeropoint.checkpoints.files.user_files import TABLE_BYTES, read_user_text
from zeropoint.errors import RecipeError, UnsupportedModel

GIB = 2**30
HERE = "here"  # the machine that the program runs on
KINDS = ("gpu", "unified", "cpu")
SLUG = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Family:
    """Machines that multiply alike."""

    id: str
    name: str
    native: tuple[str, ...]  # kinds of numbers its units multiply: fp32, bf16, fp8, int4, …
    note: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One variant of a machine."""

    id: str
    name: str
    family: Family
    kind: str = "gpu"  # gpu: memory of its own; unified: shared with the system; cpu
    memory_bytes: int
    bandwidth: float  # bytes per second
    fp16_flops: float | None = None  # dense, per second
    int8_ops: float | None = None
    price_usd: int | None = None
    price_date: str | None = None
    source: str = ""
    measured: bool = False  # bandwidth was measured, not read off a data sheet
    hbm: bool = False
    stated_bytes: int | None = None  # usable, where the row says so

    @property
    def usable_bytes(self) -> int:
        """Return what a model may take, the system's own share left out.

        A card keeps 1 GiB (llama.cpp's margin: driver, display, fragments). Shared memory: what
        macOS lets a GPU wire, two thirds up to 36 GiB and three quarters above. A processor: 2 GiB
        for the system, and at most an eighth.
        """
        memory = self.memory_bytes
        if self.stated_bytes is not None:
            return min(self.stated_bytes, memory)
        if self.kind == "unified":
            return memory * 2 // 3 if memory <= 36 * GIB else memory * 3 // 4
        return memory - min(GIB if self.kind == "gpu" else 2 * GIB, memory // 8)

    @property
    def margin(self) -> str:
        """Say what is left out of the usable memory."""
        if self.kind == "unified":
            return "what the system lets a GPU have"
        return f"{(self.memory_bytes - self.usable_bytes) / GIB:.1f} GiB margin"


def config_directory() -> Path:
    """Return where a person keeps settings of zeropoint: $XDG_CONFIG_HOME/zeropoint."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / "zeropoint"


def devices() -> dict[str, Device]:
    """Return all devices by their slug, the user's own first.

    Raises UnsupportedModel, one sentence, for a row of the user's that makes no sense.
    """
    own = config_directory() / "devices.toml"
    families, shipped = _shipped()
    if not own.is_file():
        return dict(shipped)
    try:
        table = tomllib.loads(read_user_text(own, TABLE_BYTES, UnsupportedModel))
    except ValueError as error:
        raise UnsupportedModel(f"{own}: cannot be read: {error}") from None
    found = dict(families)
    found |= {name: _family(name, row, own) for name, row in _section(table, "family", own)}
    mine = {name: _device(name, row, found, own) for name, row in _section(table, "device", own)}
    return mine | {name: row for name, row in shipped.items() if name not in mine}


@lru_cache(1)
def _shipped() -> tuple[dict[str, Family], dict[str, Device]]:
    path = Path(__file__).with_name("devices.toml")
    table = tomllib.loads(path.read_text("utf-8"))
    families = {name: _family(name, row, path) for name, row in _section(table, "family", path)}
    return families, {
        name: _device(name, row, families, path) for name, row in _section(table, "device", path)
    }


def families() -> dict[str, Family]:
    """Return the families that are shipped."""
    return dict(_shipped()[0])


def find_device(name: str) -> Device:
    """Return a device by its slug. Raises RecipeError with what comes close."""
    known = devices()
    slug = name.strip().lower()
    if slug in known:
        return known[slug]
    plain = re.sub(r"[^a-z0-9]", "", slug)
    close = [key for key in known if plain and plain in key.replace("-", "")]
    close = close or difflib.get_close_matches(slug, known, n=4, cutoff=0.4)
    advice = f"close to it: {', '.join(close[:4])}" if close else "see plan --all-devices"
    raise RecipeError(
        f"there is no device {name!r}; {advice}; --memory 24GiB --bandwidth 936 describes any"
    )


def described(memory_bytes: int, bandwidth: float | None, *, base: Device | None = None) -> Device:
    """Return a device of this memory and bandwidth, otherwise like `base` or an unknown GPU."""
    if memory_bytes < 1:
        raise RecipeError("a device without memory runs nothing; write --memory 24GiB")
    if bandwidth is not None and not 0 < bandwidth < 1e15:
        raise RecipeError("a bandwidth is a number of GB/s above 0, such as --bandwidth 936")
    if base is not None:
        name = f"{base.name}, with {memory_bytes / GIB:.6g} GiB"
        return replace(base, name=name, memory_bytes=memory_bytes, stated_bytes=None,
                       bandwidth=bandwidth or base.bandwidth)  # fmt: skip
    family = Family("unknown", "a GPU nobody named", ("fp32", "fp16", "int8"))
    size = f"{memory_bytes / GIB:.6g} GiB"
    name = f"{size} at {bandwidth / 1e9:g} GB/s" if bandwidth else size
    return Device(id="custom", name=name, family=family, memory_bytes=memory_bytes,
                  bandwidth=bandwidth or 0.0, source="given")  # fmt: skip


def _section(
    table: Mapping[str, Any], name: str, path: Path
) -> list[tuple[str, Mapping[str, Any]]]:
    rows = table.get(name, {})
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise UnsupportedModel(f"{path}: rows are written [{name}.some-name]")
    return list(rows.items())


def _family(name: str, row: Mapping[str, Any], path: Path) -> Family:
    native = row.get("native")
    if not isinstance(native, list) or not all(isinstance(kind, str) for kind in native):
        raise UnsupportedModel(f'{path}: [family.{name}] needs native = ["fp16", …]')
    return Family(name, str(row.get("name", name)), tuple(native), str(row.get("note", "")),
                  str(row.get("source", "")))  # fmt: skip


def _device(name: str, row: Mapping[str, Any], known: Mapping[str, Family], path: Path) -> Device:
    where = f"{path}: [device.{name}]"
    if not SLUG.fullmatch(name):
        raise UnsupportedModel(f"{where}: a name has small letters, digits and dashes only")
    family = known.get(str(row.get("family", "")))
    if family is None:
        raise UnsupportedModel(f"{where} needs a family, one of {', '.join(known)}")
    kind = row.get("kind", "gpu")
    if kind not in KINDS:
        raise UnsupportedModel(f"{where}: kind is one of {', '.join(KINDS)}")
    return Device(
        id=name,
        name=str(row.get("name", name)),
        family=family,
        kind=kind,
        memory_bytes=int(_positive(row, "memory_gib", where) * GIB),
        bandwidth=_positive(row, "bandwidth_gbs", where) * 1e9,
        fp16_flops=_positive(row, "fp16_tflops", where) * 1e12 if "fp16_tflops" in row else None,
        int8_ops=_positive(row, "int8_tops", where) * 1e12 if "int8_tops" in row else None,
        price_usd=int(_positive(row, "price_usd", where)) if "price_usd" in row else None,
        price_date=str(row["price_date"]) if "price_date" in row else None,
        source=str(row.get("source", "")),
        hbm=row.get("hbm") is True,
        stated_bytes=int(_positive(row, "usable_gib", where) * GIB)
        if "usable_gib" in row
        else None,
    )


def _positive(row: Mapping[str, Any], key: str, where: str) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UnsupportedModel(f"{where}: {key} is a number above 0")
    return float(value)
