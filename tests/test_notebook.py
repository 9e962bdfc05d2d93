"""The example notebook runs from its first cell to its last, and shows tables and figures."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from support.tiny_models import write_model

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "compare.ipynb"
FIGURES = {"zp.measure(": "f-loss", "zp.compare(": "f-frontier", "zp.ladder(": "f-frontier"}


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(notebook: Any) -> list[str]:
    return [line for cell in code_cells(notebook) for line in cell.source.split("\n") if line]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after it ran on a tiny model, with shorter chunks of the same texts."""
    folder = tmp_path_factory.mktemp("notebook")
    write_model(folder / "model-BF16.gguf", format="BF16")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in code_cells(notebook):
        cell.source = re.sub(r"chunks=\d+", "chunks=4, context=32", cell.source)
    environment = {"path": str(folder)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "src"))
        patch.setenv("PYTHONWARNINGS", "default")
        NotebookClient(notebook, timeout=300, resources={"metadata": environment}).execute()
    return notebook


def test_a_model_is_quantized_measured_compared_and_drawn_in_under_15_lines() -> None:
    source = lines(nbformat.read(NOTEBOOK, as_version=4))
    assert len(source) < 15
    assert not [line for line in source if line.startswith(("!", "%"))]


@pytest.mark.parametrize("call", FIGURES)
def test_each_result_is_shown_as_a_table_and_as_the_figure_of_the_report(
    executed: Any, call: str
) -> None:
    cell = next(cell for cell in code_cells(executed) if call in cell.source)
    html = next(out.data["text/html"] for out in cell.outputs if "text/html" in out.get("data", {}))
    assert "<table>" in html and "kl.mean" in html
    assert html.count("<iframe srcdoc=") == 1
    assert FIGURES[call] in html


def test_the_stored_notebook_holds_the_outputs_of_a_real_model() -> None:
    cells = code_cells(nbformat.read(NOTEBOOK, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("iframe" in str(cell.outputs) for cell in cells) == len(FIGURES)
