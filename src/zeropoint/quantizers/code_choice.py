"""The codes of some encoded rows while they are chosen again, with the scales that stay.

Arrays are (columns, rows), as the kernels need them.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32, U8, Format
from zeropoint.formats.point_codes import SIGNED_WEIGHTS, has_points, point_set
from zeropoint.formats.recode import can_recode, code_set
from zeropoint.formats.scale_codes import ScaleCodes, scale_codes
from zeropoint.kernels.panels import ChosenPoints, GroupMetric, Panel
from zeropoint.kernels.rounding_panels import LevelRounding, PointRounding

Indices = NDArray[np.intp]


def can_choose(format: Format) -> bool:
    """Return whether the codes of a format can be chosen again while its scales stay."""
    return can_recode(format) or has_points(format)


def columns_at_once(format: Format) -> int:
    """Return how many columns are rounded together: 8 for codes that name points, otherwise 1."""
    return SIGNED_WEIGHTS if has_points(format) else 1


def code_choice(blocks: U8, format: Format, rows: int) -> "CodeChoice":
    """Return the codes of encoded rows. Raises FormatError if they cannot be chosen again."""
    if has_points(format):
        return PointChoice(blocks, format, rows)
    return LevelChoice(blocks, format, rows)


class CodeChoice(ABC):
    """Codes that start as the encoder's and are chosen again, panel by panel."""

    #: Columns that are rounded together.
    at_once: int

    def __init__(self, blocks: U8, format: Format, rows: int) -> None:
        self.format = format
        self.rows = rows
        self.scale_codes = scale_codes(format)
        self.set_blocks(blocks)
        self.group_size = len(blocks) // rows * format.block_size // len(self.scale)

    def set_blocks(self, blocks: U8) -> None:
        """Take the scales and minimums of other blocks; the codes stay."""
        self.blocks = blocks
        scale, minimum = self.read_scales(blocks)
        self.scale = self.by_columns(scale)
        self.minimum = None if minimum is None else self.by_columns(minimum)

    def by_columns(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of (n, m) per block as (columns / columns per value, rows)."""
        return np.ascontiguousarray(values.reshape(self.rows, -1).T)

    def panel(self, columns: Indices, target: F32, coupling: F32) -> Panel:
        """Return the panel of these columns."""
        groups = columns[:: self.at_once] // self.group_size
        minimum = None if self.minimum is None else self.minimum[groups]
        return Panel(target, np.ascontiguousarray(coupling), self.scale[groups], minimum)

    @abstractmethod
    def feed_back(
        self, columns: Indices, panel: Panel, metric: GroupMetric | None, weights: F32, errors: F32
    ) -> None:
        """Round a panel with error feedback; writes the codes, and the errors of its columns.

        `metric` is required for points.
        """

    @abstractmethod
    def descend(
        self, columns: Indices, panel: Panel, metric: GroupMetric | None, rounded: F32
    ) -> None:
        """Round a panel by coordinate descent; overwrites codes and the weights they mean."""

    @abstractmethod
    def read_scales(self, blocks: U8) -> tuple[F32, F32 | None]:
        """Return scale and minimum of each group, (n, groups)."""

    @abstractmethod
    def levels(self) -> F32:
        """Return the levels that the codes mean before the scale, (columns, rows)."""

    def decoded(self) -> F32:
        """Return the weights that the codes mean, (columns, rows)."""
        levels = self.levels().reshape(len(self.scale), -1, self.rows)
        weights = self.scale[:, None] * levels
        if self.minimum is not None:
            weights = weights + self.minimum[:, None]
        return weights.reshape(-1, self.rows)

    def direction(self, kind: ScaleCodes) -> F32:
        """Return the part of the weights that is proportional to a kind of scale or minimum."""
        levels = self.levels().reshape(len(self.scale), -1, self.rows)
        own_minimum = any(one.minimum for one in self.scale_codes)
        if self.minimum is None:
            parts = self.scale[:, None] * levels
        elif kind.minimum:
            parts = np.broadcast_to(self.minimum[:, None], levels.shape)
        else:
            low = np.float32(0) if own_minimum else self.minimum[:, None]
            parts = self.scale[:, None] * levels + low
        return parts.reshape(-1, self.rows)

    @abstractmethod
    def stored(self) -> U8:
        """Return blocks with these codes."""


class LevelChoice(CodeChoice):
    """The codes of a format where each belongs to a single weight."""

    at_once = 1

    def __init__(self, blocks: U8, format: Format, rows: int) -> None:
        super().__init__(blocks, format, rows)
        self.codes = code_set(format)
        parts = format.parts(blocks)
        # A code that only older encoders wrote, such as FP4's −0, becomes the one of equal value.
        values = parts.codes.astype(np.float32) if parts.values is None else parts.values
        index = np.searchsorted(self.codes.values, self.by_columns(values))
        self.chosen = index.astype(np.int32)
        self._rounding = LevelRounding(self.codes)

    def read_scales(self, blocks: U8) -> tuple[F32, F32 | None]:
        parts = self.format.parts(blocks)
        return parts.scale, parts.minimum

    def feed_back(
        self, columns: Indices, panel: Panel, metric: GroupMetric | None, weights: F32, errors: F32
    ) -> None:
        chosen = np.empty(panel.target.shape, np.int32)
        self._rounding.feed_back(panel, weights, errors, chosen)
        self.chosen[columns] = chosen

    def descend(
        self, columns: Indices, panel: Panel, metric: GroupMetric | None, rounded: F32
    ) -> None:
        chosen = np.empty(panel.target.shape, np.int32)
        self._rounding.descend(panel, rounded, chosen)
        self.chosen[columns] = chosen

    def levels(self) -> F32:
        return self.codes.values[self.chosen]

    def stored(self) -> U8:
        codes = self.codes.codes[self.chosen.T].reshape(-1, self.format.block_size)
        return self.codes.store(self.blocks, codes)


class PointChoice(CodeChoice):
    """The codes of a format where each names a point for 4 or 8 weights."""

    at_once = SIGNED_WEIGHTS

    def __init__(self, blocks: U8, format: Format, rows: int) -> None:
        self.points = point_set(format)
        super().__init__(blocks, format, rows)
        self.chosen = ChosenPoints(*map(self.by_columns, self.points.load(blocks)))
        self._rounding = PointRounding(self.points)

    def read_scales(self, blocks: U8) -> tuple[F32, F32 | None]:
        scale = self.format.parts(blocks).scale
        return scale, self.points.minimum(blocks, scale)

    def _save(self, columns: Indices, chosen: ChosenPoints) -> None:
        size = self.points.size
        self.chosen.points[columns[::size] // size] = chosen.points
        self.chosen.signs[columns[::SIGNED_WEIGHTS] // SIGNED_WEIGHTS] = chosen.signs

    def _empty(self, panel: Panel) -> ChosenPoints:
        columns, rows = panel.target.shape
        points = np.empty((columns // self.points.size, rows), np.int32)
        return ChosenPoints(points, np.empty((columns // SIGNED_WEIGHTS, rows), np.int32))

    def feed_back(
        self, columns: Indices, panel: Panel, metric: GroupMetric | None, weights: F32, errors: F32
    ) -> None:
        assert metric is not None
        chosen = self._empty(panel)
        self._rounding.feed_back(panel, metric, weights, errors, chosen)
        self._save(columns, chosen)

    def descend(
        self, columns: Indices, panel: Panel, metric: GroupMetric | None, rounded: F32
    ) -> None:
        assert metric is not None
        chosen = self._empty(panel)
        self._rounding.descend(panel, metric.bounds, rounded, chosen)
        self._save(columns, chosen)

    def levels(self) -> F32:
        levels = self.points.levels[self.points.points[self.chosen.points]]  # (groups, rows, size)
        levels = levels.swapaxes(1, 2).reshape(-1, SIGNED_WEIGHTS, self.rows)
        negative = self.chosen.signs[:, None] >> np.arange(SIGNED_WEIGHTS)[:, None] & 1
        return np.where(negative, -levels, levels).reshape(-1, self.rows)

    def stored(self) -> U8:
        by_block = (len(self.blocks), -1)
        points, signs = (
            np.ascontiguousarray(part.T).reshape(by_block)
            for part in (self.chosen.points, self.chosen.signs)
        )
        return self.points.store(self.blocks, points, signs)
