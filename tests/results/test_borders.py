"""No room hands another one a result as a dictionary."""

import ast
from pathlib import Path

import pytest

import zeropoint

ROOT = Path(zeropoint.__file__).parent
# Returned dictionaries that are no results: what other programs said, or what goes into a file.
ALLOWED = {
    "metrics/peers/lm_eval.py: evaluate": "lm-evaluation-harness's own results",
    "metrics/tasks/sandbox/child.py: make_module": "the names of a program",
    "quantizers/export_stacks.py: packed_config": "entries of a config.json",
    "quantizers/provenance.py: output_metadata": "metadata of a GGUF file",
    "quantizers/provenance.py: importance_facts": "metadata of a GGUF file",
    "quantizers/provenance.py: nearest_facts": "metadata of a GGUF file",
    "quantizers/provenance.py: hashes_of": "metadata of a GGUF file",
}


def untyped(path: Path) -> list[str]:
    """The functions and methods that return dictionaries of anything."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.returns and node.name[0] != "_":
            told = ast.unparse(node.returns)
            if "dict[str, object]" in told or "dict[str, Any]" in told:
                found.append(f"{path.relative_to(ROOT)}: {node.name}")
    return found


@pytest.mark.parametrize("room", ["metrics", "quantizers"])
def test_what_a_room_measures_is_a_record(room: str) -> None:
    found = [name for path in sorted((ROOT / room).rglob("*.py")) for name in untyped(path)]
    assert [name for name in found if name not in ALLOWED] == []


def test_one_alias_stands_for_the_data_of_a_page() -> None:
    """The readers of results had five, and each its own idea of their keys."""
    aliases = [
        f"{path.relative_to(ROOT)}: {node.targets[0].id}"
        for room in ("cli", "metrics", "quantizers", "studio")
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and ast.unparse(node.value) in ("dict[str, Any]", "dict[str, object]", "Mapping[str, Any]")
    ]
    assert aliases == [
        "studio/data/page_data.py: PageData",
        "studio/http/model_process.py: Record",  # between the studio and its worker
        "studio/http/model_worker.py: Record",
        "studio/http/requests.py: Words",  # of a request
    ]
