"""Options of `search`."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from zeropoint.errors import MeasurementError
from zeropoint.verbs.options.budget import PROFILES, BudgetOptions
from zeropoint.verbs.options.checks import check_minimums, normalize_choice
from zeropoint.verbs.options.quantize import Effort

Prediction = Literal["auto", "gradients", "outputs"]
TASKS_PREFIX = "tasks:"  # of an objective, before the name of a task file


@dataclass(frozen=True, kw_only=True)
class SearchOptions(BudgetOptions):
    """Options of `search`."""

    #: Text files, or built-in text such as "builtin:code"; None: "builtin". Files are cut into
    #: three parts, see `open_parts`.
    text: str | Path | Sequence[str | Path] | None = None
    #: Folder whose text is a domain of its own, "folder"; None: no folder.
    for_folder: Path | None = None
    #: File with the importance to encode with (imatrix); None: it is collected from the text.
    imatrix: Path | None = None
    #: "KIND=NUMBER": the weight of a kind of text in the loss; others have 1.
    weight: str | Sequence[str] | None = None
    #: The loss to minimize: "kl", its mean; "tail", the mean of the largest 1 %; or "tasks:FILE",
    #: the mean on the questions and right answers of a task file.
    objective: str = "kl"
    #: Whether code that models write for tasks is run, in a sandboxed process.
    allow_code: bool = False
    #: How much is read and evaluated: "quick", "normal" or "long".
    effort: Effort = "normal"
    #: How losses are predicted: "gradients" (needs torch), "outputs" of forward passes, or "auto",
    #: gradients if torch is installed.
    prediction: Prediction = "auto"
    #: Recipes to evaluate by their true loss; None: by `effort` and the size of the model.
    evaluations: int | None = None
    #: One format for matrices that runtimes multiply as one: queries, keys and values; gate and up.
    tie_fused: bool = False
    #: Accept a model that is already quantized.
    requantize: bool = False
    #: Folder with the state and the evidence of the search; None: a folder next to the output,
    #: which is deleted when the search is complete.
    run: Path | None = None
    #: Replace the output if it exists.
    overwrite: bool = False
    #: Threads to compute with; None: one for each processor. The recipe does not depend on it.
    threads: int | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, evaluations=0, threads=1, context=1)
        normalize_choice(self, "profile", PROFILES)
        if self.task_file is None:
            normalize_choice(self, "objective", ("kl", "tail", f"{TASKS_PREFIX}FILE"))
        elif self.for_folder:
            raise MeasurementError(
                "a recipe is for a folder (--for) or for tasks (--objective tasks:FILE), not for"
                " both"
            )
        normalize_choice(self, "prediction", get_args(Prediction))
        normalize_choice(self, "effort", ("quick", "normal", "long"))

    @property
    def task_file(self) -> str | None:
        """The task file that `objective` names; None for another objective."""
        found = self.objective[: len(TASKS_PREFIX)].lower() == TASKS_PREFIX
        return (self.objective[len(TASKS_PREFIX) :] or None) if found else None

    @property
    def prediction_used(self) -> str:
        """How losses are predicted here: "gradients" or "outputs"."""
        if self.prediction != "auto":
            return self.prediction
        installed = all(find_spec(name) for name in ("torch", "transformers"))
        return "gradients" if installed else "outputs"
