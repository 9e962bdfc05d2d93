"""The names of model families stand in their table and nowhere else."""

import ast
from pathlib import Path

import pytest

from zeropoint.checkpoints.families import FAMILIES, HUGGINGFACE_TYPES

SOURCE = Path(__file__).parents[2] / "src/zeropoint"
TABLE = SOURCE / "checkpoints/families"
NAMES = {*FAMILIES, *HUGGINGFACE_TYPES, "mistral", "qwen", "phi", "smollm"}
# The same words with another meaning: file -> the literals, and why they may stand there.
EXCEPTIONS = {
    "checkpoints/merging.py": ({"llama", "gemma4"}, "values of tokenizer.ggml.model"),
    "checkpoints/tokenizers/pretokenizers.py": ({"qwen35"}, "a value of tokenizer.ggml.pre"),
    "plans/memory/cache_shape.py": ({"lfm2"}, "a window that only llama.cpp implements"),
    "checkpoints/tokenizers/token_rules.py": ({"phi3"}, "part of general.name, as llama.cpp"),
}


def literals(path: Path) -> set[str]:
    """Return the names of families among the string literals of a module."""
    tree = ast.parse(path.read_text())
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {value for value in constants if isinstance(value, str)} & NAMES


@pytest.mark.parametrize("room", sorted(path.name for path in SOURCE.iterdir() if path.is_dir()))
def test_no_code_compares_the_name_of_a_family(room: str) -> None:
    for path in (SOURCE / room).rglob("*.py"):
        if TABLE not in path.parents:
            allowed, _ = EXCEPTIONS.get(path.relative_to(SOURCE).as_posix(), (set(), ""))
            assert literals(path) == allowed, path


def test_the_table_is_found() -> None:
    assert len({name for path in TABLE.glob("*.py") for name in literals(path)}) > 15
