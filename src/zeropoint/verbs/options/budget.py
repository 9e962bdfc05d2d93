"""Options for the limit of a model's size, which `search` and `quantize --to best` share."""

from dataclasses import dataclass
from typing import Literal

Profile = Literal["any", "cpu", "gpu"]
PROFILES: tuple[Profile, ...] = ("any", "cpu", "gpu")


@dataclass(frozen=True, kw_only=True)
class BudgetOptions:
    """The limit for the size of a model. Exactly one kind of limit has to be given."""

    #: Bits per weight of the whole file: a number; for `search` also several ("2.4,3.4"), or a
    #: range ("2.5..5" has steps of 0.5, "2.5..5:0.25" others).
    bits: float | str | None = None
    #: Size of the whole file, such as "900MB" or "1.5GiB".
    budget: str | None = None
    #: Memory of the running model: weights, KV cache and buffers, such as "8GiB".
    runtime_memory: str | None = None
    #: A device whose usable memory is the limit, as `plan --all-devices` lists them.
    device: str | None = None
    #: Tokens of context of the running model, for `runtime_memory` and `device`.
    context: int = 4096
    #: Formats to choose from: "any"; "cpu" or "gpu" leave out those that are slow there.
    profile: Profile = "any"

    @property
    def given(self) -> list[str]:
        """The options that set a limit."""
        names = ("bits", "budget", "runtime_memory", "device")
        return [name for name in names if getattr(self, name)]
