"""Options of the verb `plan`: the defaults of `zp.plan` and of the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.plans.machines.device import Device
from zeropoint.plans.memory.batch import BATCH_TOKENS

DEFAULT_HOST = "ddr5-5600-64gb"
DEFAULT_SSD_GBS = 7.0  # gigabytes per second


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of `plan`."""

    #: Names, or devices. None: this machine, unless another option describes or lists devices.
    device: str | Device | Sequence[str | Device] | None = None
    #: Memory of a device without a name: "24GiB" or bytes. Empty: none is described.
    memory: str | int = ""
    #: Read bandwidth of that device, GB/s. None: its speed is unknown.
    bandwidth: float | None = None
    #: Plan for every device with a name.
    all_devices: bool = False
    #: Plan for every device with a price, the cheapest first.
    cheapest: bool = False
    #: Prices in US dollars that replace those of the table: "rtx3090=900".
    price: str | Sequence[str] | None = None
    #: Tokens of context of each user: "16k" or a number.
    context: str | int = "4k"
    #: Format of the KV cache: "q8_0", or "q8_0/q4_0" for keys and values.
    kv: str = "f16"
    #: Sequences that run at the same time.
    users: int = 1
    #: Presets or formats. None: a quantized file as it is, other models in a range of presets.
    to: str | Sequence[str] | None = None
    #: Criterion of the ranking: "loss", "speed" or "context".
    objective: str = "loss"
    #: Tokens of a prompt in one forward pass (llama.cpp's -ub).
    batch: int = BATCH_TOKENS
    #: Cache all positions also in layers with a sliding window (llama.cpp's --swa-full).
    full_windows: bool = False
    #: Flash attention.
    flash: bool = True
    #: Machine around a GPU whose memory is too small.
    host: str = DEFAULT_HOST
    #: RAM of that machine: "128GiB" or bytes. Empty: that of `host`.
    ram: str | int = ""
    #: Read bandwidth of its SSD, GB/s.
    ssd: float = DEFAULT_SSD_GBS
    #: Run folders of `measure`, `compare`, `tasks` and `bench`. None: ./runs, if it exists.
    runs: Sequence[Path | str] | None = None
