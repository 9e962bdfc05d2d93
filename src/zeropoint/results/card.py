"""Result of `card`: the model card and the pictures that were written."""

from dataclasses import dataclass

from zeropoint.results.proof import FileProof
from zeropoint.results.schema import Record


@dataclass(frozen=True, kw_only=True)
class CardFile(Record):
    """One model file on a card."""

    #: The name of the file, with as many of its folders as tell the files apart.
    name: str
    file_bytes: int
    #: 8 · file_bytes / weights.
    bits_per_weight: float
    #: Path of the picture.
    picture: str
    picture_bytes: int
    #: How the file was made and what it loses; None for a file that zeropoint did not write.
    proof: FileProof | None = None


@dataclass(frozen=True)
class CardResult(Record):
    """A model card with a picture of each file."""

    #: Path of the card, a Markdown file.
    card: str
    files: tuple[CardFile, ...]

    def __repr__(self) -> str:
        return f"<CardResult {self.card}: {', '.join(file.name for file in self.files)}>"
