# The compiled extension: see native/src/bindings*.cpp. Arrays are C-contiguous.
from numpy import float32, float64, int32, uint8, uint64
from numpy.typing import NDArray

def variant() -> str: ...
def decoders() -> list[str]: ...
def encoders() -> list[str]: ...
def decode(
    format: str, blocks: NDArray[uint8], weights: NDArray[float32], threads: int
) -> None: ...
def encode(
    format: str,
    weights: NDArray[float32],
    importance: NDArray[float32] | None,
    blocks: NDArray[uint8],
    threads: int,
) -> None: ...
def weighted_error(
    weights: NDArray[float32],
    decoded: NDArray[float32] | None,
    importance: NDArray[float32] | None,
    threads: int,
) -> float: ...
def first_beyond(weights: NDArray[float32], limit: float, threads: int) -> int: ...

compare_top: int

def compare(
    reference: NDArray[float32],
    quant: NDArray[float32],
    targets: NDArray[int32],
    scores: NDArray[float64],
    ids: NDArray[int32],
    logp: NDArray[float32],
    threads: int,
) -> tuple[int, int]: ...
def read_seconds(words: NDArray[uint64], threads: int) -> float: ...
def multiply_adds_per_second(seconds: float, threads: int) -> float: ...
def moments(values: NDArray[float32], threads: int) -> tuple[float, float, int]: ...
