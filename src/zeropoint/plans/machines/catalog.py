"""Devices by name: the rows of `devices.toml` in this folder, the user's own, and this machine.

The user's rows have the same form and take precedence over shipped rows of the same name:

    [device.my-server]
    name = "Two RTX 3090"
    family = "ampere"
    memory_gib = 48
    bandwidth_gbs = 936

A name must be complete (`rtx3060-12gb`), because a part of a name would confuse variants.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from zeropoint.errors import RecipeError, UnsupportedModel
from zeropoint.plans.machines.device import (
    DEVICE_KINDS,
    GIB,
    LOCAL_ID,
    LOCAL_NAME,
    Device,
    DeviceFamily,
)

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
MAX_SUGGESTIONS = 4


@dataclass(frozen=True)
class DeviceCatalog:
    """Devices by name, and the local machine where it is known."""

    #: Devices of the user, then the shipped ones.
    devices: Mapping[str, Device] = field(default_factory=lambda: shipped_devices())
    local: Device | None = None

    def find(self, name: str) -> Device:
        """Return a device by its name, in any case; "local" is this machine.

        Raises RecipeError with similar names for an unknown one.
        """
        key = name.strip().lower()
        if self.local and key in (LOCAL_NAME, LOCAL_ID):
            return self.local
        if key in self.devices:
            return self.devices[key]
        letters = re.sub(r"[^a-z0-9]", "", key)
        close = [known for known in self.devices if letters and letters in known.replace("-", "")]
        close = close or difflib.get_close_matches(key, self.devices, MAX_SUGGESTIONS, cutoff=0.4)
        similar = ", ".join(close[:MAX_SUGGESTIONS])
        advice = f"similar names: {similar}" if similar else "see plan --all-devices"
        raise RecipeError(
            f"there is no device {name!r}; {advice}; a memory size and a bandwidth "
            "(--memory 24GiB --bandwidth 936) describe any"
        )

    def all(self) -> list[Device]:
        """Return every device, the local machine first."""
        return [*([self.local] if self.local else []), *self.devices.values()]


def find_device(name: str) -> Device:
    """Return a shipped device by its name. Raises RecipeError for an unknown one."""
    return DeviceCatalog().find(name)


def shipped_devices() -> dict[str, Device]:
    """Return the devices that come with zeropoint, by name."""
    return dict(_shipped()[1])


def shipped_families() -> dict[str, DeviceFamily]:
    """Return the families that come with zeropoint, by id."""
    return dict(_shipped()[0])


def with_user_devices(text: str, source: str) -> dict[str, Device]:
    """Return the devices of a user's TOML table, then the shipped ones of other names.

    `source` names the file in errors. Raises UnsupportedModel for a table or row that is not valid.
    """
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise UnsupportedModel(f"{source}: cannot be read: {error}") from None
    families, shipped = _shipped()
    families = families | {
        name: _family(name, row, source) for name, row in _section(table, "family", source)
    }
    own = {
        name: _device(name, row, families, source)
        for name, row in _section(table, "device", source)
    }
    return own | {name: device for name, device in shipped.items() if name not in own}


@lru_cache(1)
def _shipped() -> tuple[dict[str, DeviceFamily], dict[str, Device]]:
    source = "devices.toml"
    table = tomllib.loads(files(__package__).joinpath(source).read_text("utf-8"))
    families = {name: _family(name, row, source) for name, row in _section(table, "family", source)}
    return families, {
        name: _device(name, row, families, source)
        for name, row in _section(table, "device", source)
    }


def _section(
    table: Mapping[str, Any], name: str, source: str
) -> list[tuple[str, Mapping[str, Any]]]:
    rows = table.get(name, {})
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise UnsupportedModel(f"{source}: rows are written as tables, [{name}.some-name]")
    return list(rows.items())


def _family(name: str, row: Mapping[str, Any], source: str) -> DeviceFamily:
    native = row.get("native")
    if not isinstance(native, list) or not all(isinstance(kind, str) for kind in native):
        raise UnsupportedModel(f'{source}: [family.{name}] needs native = ["fp16", …]')
    return DeviceFamily(name, str(row.get("name", name)), tuple(native), str(row.get("note", "")),
                        str(row.get("source", "")))  # fmt: skip


def _device(
    name: str, row: Mapping[str, Any], families: Mapping[str, DeviceFamily], source: str
) -> Device:
    where = f"{source}: [device.{name}]"
    if not NAME.fullmatch(name):
        raise UnsupportedModel(f"{where}: a name has lower-case letters, digits and dashes only")
    family = families.get(str(row.get("family", "")))
    if family is None:
        raise UnsupportedModel(f"{where} needs a family, one of {', '.join(families)}")
    kind = row.get("kind", "gpu")
    if kind not in DEVICE_KINDS:
        raise UnsupportedModel(f"{where}: kind must be one of {', '.join(DEVICE_KINDS)}")

    def optional(key: str, unit: float) -> float | None:
        return _positive(row, key, where) * unit if key in row else None

    price, usable = optional("price_usd", 1), optional("usable_gib", GIB)
    return Device(
        id=name,
        name=str(row.get("name", name)),
        family=family,
        kind=kind,
        memory_bytes=int(_positive(row, "memory_gib", where) * GIB),
        bandwidth=_positive(row, "bandwidth_gbs", where) * 1e9,
        fp16_flops=optional("fp16_tflops", 1e12),
        int8_ops=optional("int8_tops", 1e12),
        price_usd=None if price is None else int(price),
        price_date=str(row["price_date"]) if "price_date" in row else None,
        source=str(row.get("source", "")),
        hbm=row.get("hbm") is True,
        stated_bytes=None if usable is None else int(usable),
    )


def _positive(row: Mapping[str, Any], key: str, where: str) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UnsupportedModel(f"{where}: {key} must be a number above 0")
    return float(value)
