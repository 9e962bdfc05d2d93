"""Execute the example notebook on a real model, and store it with its outputs.

    python benchmarks/notebook.py MODEL

MODEL is a GGUF file with 16-bit weights. The notebook itself names `model-BF16.gguf`; it runs in a
temporary folder in which that name is a link to MODEL. Needs nbclient and ipykernel.
"""

import argparse
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "compare.ipynb"


def main() -> None:
    """Execute the notebook and replace its outputs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    model = parser.parse_args().model.resolve()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model-BF16.gguf").symlink_to(model)
        client = NotebookClient(
            notebook, timeout=3600, record_timing=False, resources={"metadata": {"path": folder}}
        )
        client.execute()
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
