"""A recipe: the format of each tensor, as text that users can read, compare and edit.

    # values are small and sensitive
    blk.{0..2,5}.attn_v.weight   Q6_K
    blk.*.ffn_down.weight        Q5_K
    token_embd.weight            Q6_K
    *                            Q4_K

Each line is a rule: a pattern for GGUF tensor names, white space, and a format. The first rule that
matches a tensor wins. `#` starts a comment. In a pattern

    *              matches any text, including dots
    ?              matches one character
    [abc] [!abc]   matches one of these characters, or one that is not among them
    {0..2,5,norm}  matches one of these numbers and words

The format `keep` is the format of the source. A recipe must have a rule for every tensor that may
be quantized. Vectors, norms, routers and some other tensors (see `roles`) keep the format of the
source, whatever the recipe states.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from zeropoint.checkpoints.files.user_files import read_user_text
from zeropoint.errors import RecipeError
from zeropoint.plans.formats.globs import Glob
from zeropoint.plans.formats.names import target_format

KEEP = "keep"
MAX_RECIPE_BYTES = 2**20  # recipes of the largest models have about 100 kB
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True)
class Rule:
    """One line of a recipe: tensors that match the pattern get the format."""

    pattern: str
    #: Canonical name of a format, or "keep".
    format: str
    #: Line of the recipe's text, from 1; None if the rule comes from no text.
    line: int | None = field(default=None, compare=False)
    glob: Glob = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "glob", Glob.parse(self.pattern, line=self.line))

    def matches(self, name: str) -> bool:
        return self.glob.matches(name)


@dataclass(frozen=True)
class Recipe:
    """Ordered rules; the first one that matches a tensor wins."""

    rules: tuple[Rule, ...]

    @classmethod
    def parse(cls, text: str) -> "Recipe":
        """Read a recipe. `str(recipe)` is the same text without comments, in aligned columns.

        >>> print(Recipe.parse("a.*  q8_0  # first"))
        a.*  Q8_0

        Raises RecipeError, with the line, for a line that is not a rule and for unknown formats.
        """
        rules = []
        for number, line in enumerate(text.splitlines(), 1):
            words = _COMMENT.sub("", line).strip().rsplit(None, 1)
            if not words:
                continue
            if len(words) == 1:
                raise RecipeError(
                    f"{words[0]!r} is not a rule; write PATTERN FORMAT, such as `* Q4_K`",
                    line=number,
                )
            pattern, format = words[0].strip(), words[1]
            if format.lower() != KEEP:
                format = target_format(format, line=number).name
            rules.append(Rule(pattern, KEEP if format.lower() == KEEP else format, number))
        if not rules:
            raise RecipeError(
                "the recipe has no rules; write PATTERN FORMAT lines, such as `* Q4_K`"
            )
        return cls(tuple(rules))

    @classmethod
    def load(cls, path: Path | str) -> "Recipe":
        """Read a recipe file. Raises RecipeError if it cannot be read or is not valid."""
        text = read_user_text(path, MAX_RECIPE_BYTES, RecipeError)
        try:
            return cls.parse(text)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    def __str__(self) -> str:
        width = max(len(rule.pattern) for rule in self.rules)
        return "\n".join(f"{rule.pattern:<{width}}  {rule.format}" for rule in self.rules)

    def rule_for(self, name: str) -> Rule | None:
        """Return the first rule that matches a tensor's name, or None."""
        return next((rule for rule in self.rules if rule.matches(name)), None)
