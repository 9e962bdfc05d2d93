"""Error feedback for the matrices of a model, with second moments from a folder."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zeropoint.calibration.coverage import MIN_ROWS
from zeropoint.calibration.moments import MomentFolder, input_of
from zeropoint.checkpoints import TensorInfo
from zeropoint.errors import CheckpointError
from zeropoint.formats import F32, U8, Format
from zeropoint.quantizers.code_choice import columns_at_once
from zeropoint.quantizers.feedback import (
    DEFAULTS,
    NO_CHANGE,
    FeedbackInputs,
    FeedbackOptions,
    RecodedRows,
    prepare,
    round_with_feedback,
)
from zeropoint.results.quantize import FeedbackResult
from zeropoint.results.run_store import RunFolder

# Formats for which docs/rounding.md shows less KL divergence with feedback than without.
IMPROVED_FORMATS = (
    "IQ2_S", "IQ3_S", "IQ3_XXS", "IQ4_NL", "MXFP4", "NVFP4", "Q2_K", "Q3_K", "Q4_0", "Q4_K",
)  # fmt: skip


@dataclass
class FeedbackRounding:
    """Chooses the codes of encoded rows again, where there are second moments of their inputs."""

    moments: MomentFolder
    #: The tensors of the source by name.
    tensors: Mapping[str, TensorInfo]
    #: Names of the formats whose codes are chosen again; others keep the encoder's. `can_choose`
    #: has to be true for each of them.
    formats: Collection[str]
    options: FeedbackOptions = DEFAULTS
    #: Whose inputs the moments are of: the 16-bit model's ("reference"), or those behind quantized
    #: layers ("sequential").
    inputs: str = "reference"
    #: How much of the text was read, as `--effort` names it; None for moments of a folder.
    effort: str | None = None
    #: Where finished rows are stored, so that an interrupted run resumes; None: nowhere.
    state: RunFolder | None = None
    _prepared: tuple[tuple[str, int, int], FeedbackInputs] | None = field(default=None, init=False)

    def facts(self) -> dict[str, str]:
        """Return the keys of a file about its rounding: the method, the text, and the engine.

        Sums of float32 depend on the build of the linear algebra, so the file names it.
        """
        order = "largest inputs first" if self.options.ordered else "first to last"
        facts = {
            "zeropoint.rounding": (
                f"error feedback, damping {self.options.damping:g},"
                f" shrinkage {self.options.shrinkage:g}, sweeps {self.options.sweeps},"
                f" columns {order}"
            ),
            "zeropoint.calibration.inputs": self.inputs,
            "zeropoint.calibration.corpus": self.moments.corpus,
            "zeropoint.calibration.tokens": str(self.moments.chunks * self.moments.context),
            "zeropoint.rounding.library": linear_algebra(),
        }
        return facts | ({"zeropoint.calibration.effort": self.effort} if self.effort else {})

    def applies(self, name: str, format: Format) -> bool:
        """Return whether a tensor in this format gets feedback."""
        return format.name in self.formats and self.moments.has(input_of(name, self.tensors))

    def recode(
        self, place: tuple[str, int, int], weights: F32, blocks: U8, format: Format, threads: int
    ) -> RecodedRows | None:
        """Choose the codes of some rows again; None if their tensor gets no feedback.

        `place` is the tensor's name, the first row, and the expert. An expert whose inputs were
        fewer than MIN_ROWS keeps its codes, because so few are not representative; its rows are
        counted.
        """
        name, start, expert = place
        if not self.applies(name, format):
            return None
        inputs = self._inputs(name, expert, columns_at_once(format), threads)
        if inputs is None:
            return RecodedRows(blocks, replace(NO_CHANGE, rarely_used_rows=len(weights)))
        found = round_with_feedback(
            weights, blocks, format, inputs, threads=threads, options=self.options
        )
        if self.state is not None:
            key = f"{name}.{start}"
            self.state.save_bytes(f"{key}.blocks", found.blocks.tobytes())
            self.state.save_table(key, found.change.to_json())
        return found

    def stored(self, name: str, start: int, format: Format) -> RecodedRows | None:
        """Return the rows of a tensor from `start` on if they were rounded before, or None."""
        key = f"{name}.{start}"
        if self.state is None or not (self.state.path / f"{key}.json").exists():
            return None
        change = self.state.load_record(key, FeedbackResult)
        blocks = np.frombuffer(self.state.load_bytes(f"{key}.blocks"), np.uint8)
        return RecodedRows(blocks.reshape(-1, format.block_bytes), change)

    def _inputs(self, name: str, expert: int, at_once: int, threads: int) -> FeedbackInputs | None:
        """Return the prepared moments of a matrix' inputs; neighbours often share them.

        None for an expert whose inputs were fewer than MIN_ROWS.
        """
        shared = input_of(name, self.tensors)
        if self.moments.rows(shared)[expert] < MIN_ROWS:
            return None
        key = shared, expert, at_once
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = None  # frees its memory first
            moments, _ = self.moments.read(shared, expert)
            columns = self.tensors[name].shape[-1]
            if moments.shape != (columns, columns):
                raise CheckpointError(
                    self.moments.run.path,
                    f"holds the moments of {moments.shape[0]} inputs for {name}, which has"
                    f" {columns} columns: they belong to another model",
                )
            inputs = prepare(np.asarray(moments), self.options, at_once=at_once, threads=threads)
            self._prepared = key, inputs
        return self._prepared[1]


def linear_algebra() -> str:
    """Return name and version of the libraries that multiply matrices here."""
    build: Any = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {})
    return f"numpy {np.__version__}, {blas.get('name', '?')} {blas.get('version', '?')}"
