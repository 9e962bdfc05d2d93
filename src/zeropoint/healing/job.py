"""One healing from start to end: what the verb calls. It needs torch and transformers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zeropoint.calibration.chunks import Chunk
from zeropoint.checkpoints import Checkpoint
from zeropoint.formats import U8
from zeropoint.healing.loop import Healing
from zeropoint.healing.model import HealedModel
from zeropoint.healing.records import HealSettings, WindowRead
from zeropoint.healing.refusals import check_text
from zeropoint.healing.windows import Windows
from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.models.base import LanguageModel
from zeropoint.models.student import OutputHead

BYTES_PER_NUMBER = 32  # α, its gradient, two moments, and the numbers of three states


@dataclass(frozen=True)
class Prediction:
    """What a healing takes, from one step that was timed."""

    seconds: float
    memory_bytes: int


class HealingJob:
    """Reads the reference's states, predicts, trains, and returns the blocks of the best state."""

    def __init__(
        self,
        quant: Checkpoint,
        reference: LanguageModel,
        train: Sequence[Chunk],
        guard: Sequence[Chunk],
        settings: HealSettings,
    ) -> None:
        self.quant, self.settings = quant, settings
        self._reference: LanguageModel | None = reference
        self._head = OutputHead.open(
            reference.checkpoint, torch.device(settings.device), threads=settings.threads
        )
        self._model = HealedModel(quant, device=settings.device, threads=settings.threads)
        self._train = Windows(train, [])
        self._guard = Windows(guard, [])
        self.read_seconds = 0.0  # of the last window
        self.healing = Healing(self._model, self._head, self._train, self._guard, settings)

    @property
    def numbers(self) -> int:
        """Stored numbers that can be trained."""
        return sum(one.values.numel() for one in self._model.numbers())

    @property
    def windows(self) -> int:
        """Windows that the reference reads."""
        return len(self._train.chunks) + len(self._guard.chunks)

    def predict(self) -> Prediction:
        """Let the reference read the first windows, train one step, and predict time and memory.

        Nothing is changed by the step.
        """
        batch = self.settings.batch_windows
        for _ in self._fill(self._train, min(batch, len(self._train.chunks))):
            pass
        for _ in self._fill(self._guard, 1):
            pass
        self.healing.time_step()  # the first one is slower: torch prepares its products
        step, window = self.healing.time_step()
        evaluations = self.healing.evaluations
        left = self.windows - len(self._train.states) - len(self._guard.states)
        seconds = left * self.read_seconds + self.healing.steps * step
        # Two of the evaluations, in exact products, take about as long as two others each.
        seconds += (evaluations + 4) * len(self._guard.chunks) * window
        states = sum(one.numel() for one in self._train.states[:1]) * 4 * left
        memory = peak_memory_bytes() + states + BYTES_PER_NUMBER * self.numbers
        return Prediction(seconds, memory)

    def read(self) -> Iterator[WindowRead]:
        """Let the reference read all windows that it has not read; it is freed then."""
        for windows in (self._train, self._guard):
            for _ in self._fill(windows, len(windows.chunks)):
                yield WindowRead(len(self._train.states) + len(self._guard.states))
        self._reference = None

    def blocks(self) -> Mapping[str, U8]:
        """Return the blocks of the tensors that training has changed, by name."""
        return {
            name: blocks
            for name, blocks in self._model.blocks().items()
            if blocks.tobytes() != self.quant.read(name).data.tobytes()
        }

    def _fill(self, windows: Windows, count: int) -> Iterator[Tensor]:
        """Add the reference's states of the next windows, until `count` are there."""
        assert self._reference is not None
        seen = {chunk.domain for chunk in windows.chunks[: len(windows.states)]}
        for chunk in windows.chunks[len(windows.states) : count]:
            started = time.perf_counter()
            states = self._reference.hidden(chunk.tokens)
            self.read_seconds = time.perf_counter() - started
            if windows is self._train and chunk.domain not in seen:
                check_text(self._reference, chunk, states)
                seen.add(chunk.domain)
            windows.states.append(torch.from_numpy(states))
            yield windows.states[-1]
