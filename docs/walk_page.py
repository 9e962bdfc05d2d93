"""Write `walk.html`, the example page, from the example run (a test compares).

    python docs/walk_page.py                                  after a change of words or figures
    python docs/walk_page.py MODEL QUANT MEASURED LADDER...   after a change of the data
    python docs/walk_page.py answers MODEL QUANT              after a change of the answers
    python docs/walk_page.py embed DIR                        each figure as a file of its own

The example is Gemma 3 270M in BF16: the package index's file, moved off its grid by exact
rescalings of channels, so that no format finds its own numbers there. The text is docs/walk/*.txt:

    zeropoint quantize gemma-3-270m-BF16.gguf small.gguf --to demo.recipe
    zeropoint measure small.gguf --ref gemma-3-270m-BF16.gguf --ctx 256 --run gemma-small \
        --text docs/walk/prose.txt --text docs/walk/code.txt --text docs/walk/tools.txt
    zeropoint ladder gemma-3-270m-BF16.gguf --chunks 8 --ctx 256 --run gemma-ladder

The answers are of a larger model that knows something: Qwen2.5-Coder-1.5B-Instruct, as published in
Q4_K_M, and the file that `zeropoint quantize --to Q2_K` makes of its off-grid BF16 file.
"""

import json
import sys
from pathlib import Path

from zeropoint.checkpoints import open_model
from zeropoint.models import load_model
from zeropoint.studio.data import walk
from zeropoint.studio.data.forward_pass import PROMPTS, answer
from zeropoint.studio.data.measure_runs import open_runs
from zeropoint.studio.report.walk_file import figure_ids, render_figure, render_walk
from zeropoint.studio.static_files import STATIC

HERE = Path(__file__).parent
ANSWERED = ("The largest planet of the solar system is", *PROMPTS, "def is_prime(n):\n")


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


def collect_answers(model: str, quant: str) -> None:
    """Let a model and a quant of it go on with some prompts, into the example."""
    texts = []
    for path in (model, quant):
        with open_model(path) as checkpoint:
            loaded = load_model(checkpoint, mode="fast")
            texts.append([answer(loaded, prompt) for prompt in ANSWERED])
    save_answers(texts)


def save_answers(texts: list[list[str]]) -> None:
    """Put the continuations of both models into the example, one text per prompt."""
    names = ["Qwen2.5-Coder 1.5B in Q4_K_M", "the same model in Q2_K"]
    answers = [
        {"prompt": prompt, "reference": before, "quant": after, "models": names}
        for prompt, before, after in zip(ANSWERED, *texts, strict=True)
    ]
    walk.save_example(walk.example() | {"answers": answers}, Path(str(STATIC / walk.EXAMPLE)))


def write_figures(folder: Path) -> None:
    """Write each figure as a page of its own, to be embedded: f1.html, f2.html, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in figure_ids():
        (folder / f"{name}.html").write_text(render_figure(walk.completed({}), name))


if __name__ == "__main__":
    if sys.argv[1:2] == ["embed"]:
        write_figures(Path(sys.argv[2]))
        sys.exit()
    if sys.argv[1:2] == ["answers"]:
        collect_answers(sys.argv[2], sys.argv[3])
    elif sys.argv[1:]:
        collect(sys.argv[1], sys.argv[2], sys.argv[3:])
    (HERE / "walk.html").write_text(page())
    size = len(json.dumps(walk.example()))
    sys.stderr.write(f"{HERE / 'walk.html'}, {size} bytes of data unpacked\n")
