"""Options of `compare`, which are different with and without a reference."""

from dataclasses import dataclass

from zeropoint.verbs.options.checks import check_minimums
from zeropoint.verbs.options.measure import DivergenceOptions


@dataclass(frozen=True, kw_only=True)
class CompareOptions(DivergenceOptions):
    """Options of `compare`. With a reference, only those of DivergenceOptions are used.

    Without one, `context` and `floor_chunks` are not used, and `chunks` counts windows of about
    2 KiB.
    """

    #: File with tasks, or "python" for the built-in ones; empty: no tasks.
    tasks: str = ""
    #: Whether code that the models write is run, in a sandboxed process.
    allow_code: bool = False
    #: Chains of each kind; 0: no chains.
    chains: int = 0
    #: Steps of each chain.
    steps: int = 8
    #: Difficulty of the chains, 1 to 4; None: the one that fits the first model.
    level: int | None = None
    #: Tokens whose keys and values count as memory, at 16 bits each.
    memory_context: int = 4096
    #: Maximum number of tokens generated for an answer.
    tokens: int = 256
    #: Whether tasks are put as chat messages; None: if the model has a chat template.
    chat: bool | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        super().__post_init__()
        check_minimums(self, chains=0, steps=1, level=1, memory_context=1, tokens=1)
