"""A recipe that is edited by hand: where it starts, its changes, its exact size, its loss.

A change is a text, so that the address of a page holds it: `ffn_down@0-5=Q6_K` gives Q6_K to
ffn_down of the layers 0 to 5. Without `@` the change is for all layers, and for tensors outside of
them; `*` is every kind of tensor. Later changes win.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from zeropoint.allocation.budget import file_size_of, weights_of
from zeropoint.allocation.menu import Menu, make_menu, recipe_for
from zeropoint.allocation.problem import LossTable
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import RecipeError
from zeropoint.formats import find_format
from zeropoint.plans import PRESETS, choose_formats
from zeropoint.plans.formats import inventory
from zeropoint.plans.formats.presets import NEED_IMPORTANCE
from zeropoint.plans.formats.roles import layer_of
from zeropoint.quantizers import WriteOptions
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.data.search_runs import in_layer_order

EVERY_KIND = "*"
OWN_FORMATS = "the file's own formats"
MAX_EDIT_CHARACTERS = 64
MAX_EDITS = 1000

_EDIT = re.compile(
    r"(?P<kind>[A-Za-z0-9_.]+|\*)(@(?P<first>\d{1,6})-(?P<last>\d{1,6}))?=(?P<format>\w+)", re.ASCII
)


@dataclass(frozen=True)
class RecipeEdit:
    """One change of a recipe."""

    kind: str
    #: Layers, both included; None: all tensors of the kind.
    layers: tuple[int, int] | None
    format: str

    @classmethod
    def parse(cls, text: str) -> "RecipeEdit":
        """Read a change.

        >>> RecipeEdit.parse("ffn_down@0-5=Q6_K")
        RecipeEdit(kind='ffn_down', layers=(0, 5), format='Q6_K')

        Raises RecipeError for any other text.
        """
        match = _EDIT.fullmatch(text)
        if match is None:
            raise RecipeError(f"{text!r} is not a change of a recipe, such as ffn_down@0-5=Q6_K")
        layers = (int(match["first"]), int(match["last"])) if match["first"] else None
        return cls(match["kind"], layers, match["format"])

    def applies(self, name: str) -> bool:
        """Return whether a tensor is among those that are changed."""
        if self.kind not in (EVERY_KIND, inventory.kind_of(name)):
            return False
        if self.layers is None:
            return True
        layer = layer_of(name)
        return layer is not None and self.layers[0] <= layer <= self.layers[1]


@dataclass(frozen=True)
class Predictions:
    """Predicted losses of every tensor and format of a model, with their standard errors."""

    losses: LossTable
    errors: LossTable


Starts: TypeAlias = Mapping[str, Mapping[str, str]]  # formats of tensors, by the name of a start


class RecipeDraft:
    """Recipes of one model. Names in `starts` are recipes to start from, besides the presets."""

    def __init__(self, source: Checkpoint, starts: Starts) -> None:
        self.source = source
        self.menu: Menu = make_menu(source, importance=True)
        self.options = {name: entry.formats for entry in self.menu.entries for name in entry.names}
        self._starts = starts
        self._size_of = file_size_of(source, None, WriteOptions())

    def offered(self) -> PageData:
        """Return the tensors with the formats that they may have, and the starts."""
        names = {format for formats in self.options.values() for format in formats}
        bits = {name: find_format(name).bits_per_weight for name in names}
        menus = list(dict.fromkeys(self.options.values()))
        return {
            "tensors": [
                {"name": name, "kind": inventory.kind_of(name), "layer": layer_of(name),
                 "menu": menus.index(self.options[name]), "weights": self._elements(name)}
                for name in in_layer_order(self.options)
            ],
            "menus": menus,
            "bits": dict(sorted(bits.items(), key=lambda pair: (pair[1], pair[0]))),
            "importance": sorted(NEED_IMPORTANCE & names),
            "starts": [*self._starts, *PRESETS, OWN_FORMATS],
        }  # fmt: skip

    def edited(
        self, start: str, edits: Sequence[RecipeEdit], predictions: Predictions | None
    ) -> PageData:
        """Return the recipe after some changes: formats, exact size, text, and predicted loss.

        A change of a tensor that cannot have the format is left out and counted. Raises RecipeError
        for an unknown start, FormatError for an unknown format.
        """
        formats = self._started(start)
        skipped = []
        for edit in edits:
            find_format(edit.format)
            names = [name for name in formats if edit.applies(name)]
            fitting = [name for name in names if edit.format in self.options[name]]
            skipped.append(len(names) - len(fitting))
            formats |= dict.fromkeys(fitting, edit.format)
        nbytes = self._size_of(formats)
        return {
            "formats": formats,
            "skipped": skipped,
            "bytes": nbytes,
            "bits_per_weight": 8 * nbytes / weights_of(self.source),
            "recipe": str(recipe_for(self.source, formats)) + "\n",
            "importance": any(name in NEED_IMPORTANCE for name in formats.values()),
            **(self._predicted(formats, predictions) if predictions else {}),
        }

    def _started(self, start: str) -> dict[str, str]:
        if start in self._starts:
            given = self._starts[start]
        elif start == OWN_FORMATS:
            given = {}
        elif start in PRESETS:
            given = {
                choice.name: choice.format.name
                for choice in choose_formats(self.source, start, imatrix=True)
            }
        else:
            raise RecipeError(f"there is no recipe {start!r} to start from")
        return {
            name: given[name] if given.get(name) in options else self.menu.sources[name]
            for name, options in self.options.items()
        }

    def _predicted(self, formats: Mapping[str, str], predictions: Predictions) -> PageData:
        """Return the predicted loss of the recipe and of each tensor, with the standard error."""
        losses = {
            name: predictions.losses[name].get(format, 0.0) for name, format in formats.items()
        }
        variance = sum(
            predictions.errors[name].get(format, 0.0) ** 2 for name, format in formats.items()
        )
        return {
            "losses": losses,
            "predicted": sum(losses.values()),
            "standard_error": variance**0.5,
        }

    def _elements(self, name: str) -> int:
        return self.source.tensors[name].elements
