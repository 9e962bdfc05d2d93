"""A recipe: which tensor gets which format, as text that a person can read, compare and edit.

    # values are small and sensitive
    blk.{0..2,5}.attn_v.weight   Q6_K
    blk.*.ffn_down.weight        Q5_K
    token_embd.weight            Q6_K
    *                            Q4_K

One rule on a line: a pattern over GGUF tensor names, white space, a format; the first rule that
matches wins. `#` begins a comment. In a pattern

    *              any text, dots too
    ?              one character
    [abc] [!abc]   one of these characters, one that is none of them
    {0..2,5,norm}  one of these numbers and words

The format `keep` is the source's. A recipe speaks of tensors that may be quantized, and must have a
rule for each of them. Vectors, norms, routers and the like keep their source's format whatever it
says (`roles` lists them).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from zeropoint.checkpoints.files.user_files import read_user_text
from zeropoint.errors import RecipeError
from zeropoint.plans.formats.globs import Glob
from zeropoint.plans.formats.names import target_format

KEEP = "keep"
LARGEST = 2**20  # bytes of a recipe file; those of the largest models have some 100 kB
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True)
class Rule:
    """One line: tensors that match this pattern get this format."""

    pattern: str
    format: str  # a format's canonical name, or "keep"
    line: int | None = field(default=None, compare=False)  # where it stood, from 1
    glob: Glob = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "glob", Glob.parse(self.pattern, line=self.line))

    def matches(self, name: str) -> bool:
        return self.glob.matches(name)


@dataclass(frozen=True)
class Recipe:
    """Ordered rules, first match wins."""

    rules: tuple[Rule, ...]

    @classmethod
    def parse(cls, text: str) -> "Recipe":
        """Read a recipe. `str` of it is the same text, comments and spacing aside.

        >>> print(Recipe.parse("a.*  q8_0  # first"))
        a.*  Q8_0

        Raises RecipeError, with the line, for what is no rule and for unknown formats.
        """
        rules = []
        for number, line in enumerate(text.splitlines(), 1):
            words = _COMMENT.sub("", line).strip().rsplit(None, 1)
            if not words:
                continue
            if len(words) == 1:
                raise RecipeError(
                    f"{words[0]!r} is no rule; write PATTERN FORMAT, such as `* Q4_K`", line=number
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
        """Read a recipe file. Raises RecipeError if it cannot be read or parsed."""
        text = read_user_text(path, LARGEST, RecipeError)
        try:
            return cls.parse(text)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    def __str__(self) -> str:
        width = max(len(rule.pattern) for rule in self.rules)
        return "\n".join(f"{rule.pattern:<{width}}  {rule.format}" for rule in self.rules)

    def rule_for(self, name: str) -> Rule | None:
        """Return the first rule that matches, or None."""
        return next((rule for rule in self.rules if rule.matches(name)), None)
