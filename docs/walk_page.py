"""Write `walk.html`, the example page, from the example run (a test compares).

    python docs/walk_page.py                                  after a change of words or figures
    python docs/walk_page.py MODEL QUANT MEASURED LADDER...   after a change of the data

The example is Gemma 3 270M in BF16: the package index's file, moved off its grid by exact
rescalings of channels, so that no format finds its own numbers there. The text is docs/walk/*.txt:

    zeropoint quantize gemma-3-270m-BF16.gguf small.gguf --to demo.recipe
    zeropoint measure small.gguf --ref gemma-3-270m-BF16.gguf --ctx 256 --run gemma-small \
        --text docs/walk/prose.txt --text docs/walk/code.txt --text docs/walk/tools.txt
    zeropoint ladder gemma-3-270m-BF16.gguf --chunks 8 --ctx 256 --run gemma-ladder
"""

import json
import sys
from pathlib import Path

from zeropoint.checkpoints import open_model
from zeropoint.models import load_model
from zeropoint.studio.data import walk
from zeropoint.studio.data.measure_runs import open_runs
from zeropoint.studio.report.walk_file import render_walk
from zeropoint.studio.static_files import STATIC

HERE = Path(__file__).parent


def collect(model: str, quant: str, runs: list[str]) -> None:
    """Read models and runs into the example."""
    with open_model(model) as source, open_model(quant) as small:
        page = walk.Walk(source, open_runs(list(map(Path, runs))), load_model(source),
                         load_model(small))  # fmt: skip
        for step in page.steps():
            sys.stderr.write(f"{step.what}\n")
    walk.save_example(page.data, Path(str(STATIC / walk.EXAMPLE)))


def page() -> str:
    """Return the page of the example."""
    return render_walk(walk.completed({}))


if __name__ == "__main__":
    if sys.argv[1:]:
        collect(sys.argv[1], sys.argv[2], sys.argv[3:])
    (HERE / "walk.html").write_text(page())
    size = len(json.dumps(walk.example()))
    sys.stderr.write(f"{HERE / 'walk.html'}, {size} bytes of data unpacked\n")
