"""The codes of some encoded rows while they are chosen again, with the scales that stay.

Arrays are (columns, rows), as the kernels need them.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import FormatError
from zeropoint.formats import F32, U8, Format
from zeropoint.formats.point_codes import SIGNED_WEIGHTS, has_points, point_set
from zeropoint.formats.recode import can_recode, code_set
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
        parts = format.parts(blocks)
        self.blocks = blocks
        self.rows = rows
        self.parts = parts
        self.scale = np.ascontiguousarray(parts.scale.reshape(rows, -1).T)
        self.minimum: F32 | None = None
        columns = len(blocks) // rows * format.block_size
        self.group_size = columns // len(self.scale)

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
    def decoded(self) -> F32:
        """Return the weights that the codes mean, (columns, rows)."""

    @abstractmethod
    def copy_rows(self, other: "CodeChoice", rows: NDArray[np.bool_]) -> None:
        """Take the codes of some rows from another choice for the same blocks."""

    @abstractmethod
    def stored(self) -> U8:
        """Return blocks with these codes."""


class LevelChoice(CodeChoice):
    """The codes of a format where each belongs to a single weight."""

    at_once = 1

    def __init__(self, blocks: U8, format: Format, rows: int) -> None:
        self.codes = code_set(format)
        super().__init__(blocks, format, rows)
        if self.parts.minimum is not None:
            self.minimum = np.ascontiguousarray(self.parts.minimum.reshape(rows, -1).T)
        # A code that only older encoders wrote, such as FP4's −0, becomes the one of equal value.
        values = self.parts.values
        values = self.parts.codes.astype(np.float32) if values is None else values
        index = np.searchsorted(self.codes.values, values.reshape(rows, -1).T)
        self.chosen = np.ascontiguousarray(index, np.int32)
        self.block_size = format.block_size
        self._rounding = LevelRounding(self.codes)

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

    def decoded(self) -> F32:
        values = self.codes.values[self.chosen].reshape(len(self.scale), -1, self.rows)
        weights = self.scale[:, None] * values
        if self.minimum is not None:
            weights = weights + self.minimum[:, None]
        return weights.reshape(-1, self.rows)

    def copy_rows(self, other: CodeChoice, rows: NDArray[np.bool_]) -> None:
        if not isinstance(other, LevelChoice):
            raise FormatError("the rows are of another format")
        self.chosen[:, rows] = other.chosen[:, rows]

    def stored(self) -> U8:
        codes = self.codes.codes[self.chosen.T].reshape(-1, self.block_size)
        return self.codes.store(self.blocks, codes)


class PointChoice(CodeChoice):
    """The codes of a format where each names a point for 4 or 8 weights."""

    at_once = SIGNED_WEIGHTS

    def __init__(self, blocks: U8, format: Format, rows: int) -> None:
        self.points = point_set(format)
        super().__init__(blocks, format, rows)
        minimum = self.points.minimum(blocks, self.parts.scale)
        if minimum is not None:
            self.minimum = np.ascontiguousarray(minimum.reshape(rows, -1).T)
        points, signs = self.points.load(blocks)
        self.chosen = ChosenPoints(*(part.reshape(rows, -1).T.copy() for part in (points, signs)))
        self._rounding = PointRounding(self.points)

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

    def decoded(self) -> F32:
        levels = self.points.levels[self.points.points[self.chosen.points]]  # (groups, rows, size)
        levels = levels.swapaxes(1, 2).reshape(-1, SIGNED_WEIGHTS, self.rows)
        bits = self.chosen.signs[:, None] >> np.arange(SIGNED_WEIGHTS)[:, None] & 1
        values = np.where(bits, -levels, levels).reshape(len(self.scale), -1, self.rows)
        weights = self.scale[:, None] * values
        if self.minimum is not None:
            weights = weights + self.minimum[:, None]
        return weights.reshape(-1, self.rows)

    def copy_rows(self, other: CodeChoice, rows: NDArray[np.bool_]) -> None:
        if not isinstance(other, PointChoice):
            raise FormatError("the rows are of another format")
        self.chosen.points[:, rows] = other.chosen.points[:, rows]
        self.chosen.signs[:, rows] = other.chosen.signs[:, rows]

    def stored(self) -> U8:
        by_block = (len(self.blocks), -1)
        points, signs = (
            np.ascontiguousarray(part.T).reshape(by_block)
            for part in (self.chosen.points, self.chosen.signs)
        )
        return self.points.store(self.blocks, points, signs)
