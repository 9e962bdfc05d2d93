"""A device that models run on: memory, bandwidth, and the numbers it multiplies natively."""

from dataclasses import dataclass, replace

from zeropoint.errors import RecipeError

GIB = 2**30
LOCAL_ID = "here"  # `Device.id` of the local machine; a value in the JSON of `plan`
LOCAL_NAME = "local"  # what a user types for it and what tables show
DEVICE_KINDS = ("gpu", "unified", "cpu")
MAX_BANDWIDTH = 1e15  # bytes per second; more is a typing error


@dataclass(frozen=True)
class DeviceFamily:
    """Devices that multiply the same kinds of numbers natively."""

    id: str
    name: str
    #: Kinds of numbers that its units multiply: fp32, bf16, fp8, int4, …
    native: tuple[str, ...]
    note: str = ""
    source: str = ""


UNKNOWN_GPU = DeviceFamily("unknown", "a GPU of unknown family", ("fp32", "fp16", "int8"))


@dataclass(frozen=True, kw_only=True)
class Device:
    """One variant of a device."""

    #: Name that a user types: "rtx3060-12gb".
    id: str
    name: str
    family: DeviceFamily
    #: "gpu" (dedicated memory), "unified" (memory shared with the system) or "cpu".
    kind: str = "gpu"
    memory_bytes: int
    #: Read bandwidth of its memory, bytes per second; 0: unknown.
    bandwidth: float
    #: Dense operations per second; None if the data sheet does not state them.
    fp16_flops: float | None = None
    int8_ops: float | None = None
    price_usd: int | None = None
    #: Year and month of that price; None without a price, and for a price that the user gave.
    price_date: str | None = None
    source: str = ""
    #: Whether the bandwidth was measured rather than taken from a data sheet.
    measured: bool = False
    hbm: bool = False
    #: Usable memory where the row states it, bytes.
    stated_bytes: int | None = None

    @property
    def gib_per_dollar(self) -> float | None:
        """Memory for each US dollar of its price, in GiB; None without a price."""
        return self.memory_bytes / GIB / self.price_usd if self.price_usd else None

    @property
    def usable_bytes(self) -> int:
        """Bytes that a model may use; the rest belongs to the system.

        A GPU reserves 1 GiB for the driver, the display and fragmentation, as llama.cpp does. Of
        unified memory macOS lets a GPU use two thirds up to 36 GiB and three quarters above. A CPU
        reserves 2 GiB for the system. GPU and CPU reserve at most an eighth of the memory.
        """
        memory = self.memory_bytes
        if self.stated_bytes is not None:
            return min(self.stated_bytes, memory)
        if self.kind == "unified":
            return memory * 2 // 3 if memory <= 36 * GIB else memory * 3 // 4
        return memory - min(GIB if self.kind == "gpu" else 2 * GIB, memory // 8)

    @property
    def margin(self) -> str:
        """A phrase for the memory that is not part of the usable memory."""
        if self.kind == "unified":
            return "the share that the system allows a GPU"
        return f"{(self.memory_bytes - self.usable_bytes) / GIB:.1f} GiB reserved"

    @property
    def label(self) -> str:
        """The name that a user types for it."""
        return LOCAL_NAME if self.id == LOCAL_ID else self.id


def custom_device(memory_bytes: int, bandwidth: float | None, base: Device | None = None) -> Device:
    """Return a device of this memory (bytes) and bandwidth (bytes per second; None: unknown).

    Everything else is that of `base`, or of a GPU of unknown family. Raises RecipeError for values
    that no device has.
    """
    if memory_bytes < 1:
        raise RecipeError(
            "a device without memory cannot run a model; give one such as 24GiB (--memory)"
        )
    if bandwidth is not None and not 0 < bandwidth < MAX_BANDWIDTH:
        raise RecipeError(
            "the bandwidth (--bandwidth) must be a number of GB/s above 0, such as 936"
        )
    size = f"{memory_bytes / GIB:.6g} GiB"
    if base is not None:
        return replace(base, name=f"{base.name}, with {size}", memory_bytes=memory_bytes,
                       stated_bytes=None, bandwidth=bandwidth or base.bandwidth)  # fmt: skip
    name = f"{size} at {bandwidth / 1e9:g} GB/s" if bandwidth else size
    return Device(id="custom", name=name, family=UNKNOWN_GPU, memory_bytes=memory_bytes,
                  bandwidth=bandwidth or 0.0, source="given")  # fmt: skip
