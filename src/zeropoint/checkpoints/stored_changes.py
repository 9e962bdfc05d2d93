"""How GGUF files store tensors of folders that they do not only rename: see `StoredChange`."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.families import ModelFamily, StoredChange
from zeropoint.checkpoints.names import role_of
from zeropoint.checkpoints.tensor_sources import SourceRows, TensorSource
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32

NO_CHANGE = StoredChange()


def change_of(family: ModelFamily, role: str) -> StoredChange:
    """Return how a family's file changes the tensors of a role."""
    return family.changes.get(role, NO_CHANGE)


def keys_of(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the keys of the file's architecture, without its name."""
    prefix = f"{metadata.get('general.architecture')}."
    return {k.removeprefix(prefix): value for k, value in metadata.items() if k.startswith(prefix)}


def negative_exponential(values: F32) -> F32:
    """Return −e^x, rounded once."""
    with np.errstate(over="ignore"):  # the writer refuses what is not finite
        return (-np.exp(values.astype(np.float64))).astype(np.float32)


def negative_logarithm(values: F32) -> F32:
    """Return x of −e^x, rounded once."""
    with np.errstate(invalid="ignore", divide="ignore"):  # the writer refuses what is not finite
        return np.log(-values.astype(np.float64)).astype(np.float32)


def restore(change: StoredChange, values: F32, keys: Mapping[str, object]) -> NDArray[Any]:
    """Return a whole tensor of a file as the folder holds it, without the axes of length 1."""
    if change.negative_exponential:
        values = negative_logarithm(values)
    if change.rows_of_vector is not None:
        values = values.reshape(-1)
    if change.rows is not None:
        values = values[np.argsort(change.rows(keys, len(values)))]
    if change.columns is not None:
        values = values[:, np.argsort(change.columns(keys, values.shape[1]))]
    return values


def folder_shape(change: StoredChange, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in a folder of a tensor that has `shape` in a file."""
    if change.rows_of_vector is not None:
        return (prod(shape),)
    # The bias of a convolution has one axis in both; a vector may be a row of the folder.
    if change.unit_axis is None or (len(shape) == 1 and change.unit_axis > 0):
        return shape
    return (*shape[: change.unit_axis], 1, *shape[change.unit_axis :])


def split_joined(sources: dict[str, TensorSource], family: ModelFamily) -> None:
    """Replace each matrix that a file stores in parts by sources of all its rows for each part."""
    for name, source in list(sources.items()):
        role = role_of(name)
        if role in family.joined:
            del sources[name]
            for part in family.joined[role]:
                sources[name.replace(role, part)] = replace(source)


def _as_rows(shape: tuple[int, ...], rows: int) -> tuple[int, ...]:
    (size,) = shape
    if size % rows:
        raise ValueError(f"{rows} rows do not divide {size}")
    return (rows, size // rows)


def apply_change(
    name: str, source: TensorSource, change: StoredChange, keys: Mapping[str, object]
) -> None:
    """Change a source that is otherwise only renamed. Raises UnsupportedModel for another shape."""
    if change.unit_axis is not None and len(source.shape) > 1:
        shape = list(source.shape)
        if change.unit_axis >= len(shape) or shape.pop(change.unit_axis) != 1:
            raise UnsupportedModel(f"{name} has shape {source.shape} in the folder")
        source.shape = tuple(shape)
    source.negative_exponential = change.negative_exponential
    part = source.parts[0]
    try:
        if change.rows_of_vector is not None:
            source.shape = _as_rows(source.shape, change.rows_of_vector(keys))
        if change.rows is not None and len(source.shape) == 1:
            source.columns = change.rows(keys, source.shape[0])
        elif change.rows is not None:
            rows = change.rows(keys, part.rows.size)
            source.parts = [SourceRows(part.tensor, part.rows[rows])]
            source.shape = (rows.size, *source.shape[1:])
        if change.columns is not None:
            source.columns = change.columns(keys, source.shape[-1])
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise UnsupportedModel(
            f"{name} has shape {source.shape} in the folder, which the heads of config.json do not"
            " fit"
        ) from error
