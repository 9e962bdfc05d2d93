"""A file with a setting or a tensor that no code reads is refused by every verb that runs it."""

from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.cli import main
from zeropoint.formats import FORMATS

NAMES = {"setting": "llama.attention.clamp_kqv", "tensor": "blk.1.attn_sinks.weight"}
RUNS = {
    "run": ["run", "MODEL", "-p", "the", "-n", "2"],
    "measure": ["measure", "WHOLE", "--ref", "MODEL", "--text", "TEXT", "--ctx", "16"],
    "measure --as": ["measure", "MODEL", "--as", "Q8_0", "--text", "TEXT", "--ctx", "16"],
    "compare": ["compare", "MODEL", "WHOLE", "--text", "TEXT", "--chunks", "1"],
    "calibrate": ["calibrate", "MODEL", "-o", "OUT", "--text", "TEXT", "--ctx", "16"],
    "drift": ["drift", "MODEL", "--ref", "WHOLE", "-n", "2", "--prompts", "PROMPTS"],
    "tasks": ["tasks", "MODEL", "--tasks", "TASKS"],
    "bench": ["bench", "MODEL", "-p", "8", "-n", "0", "-r", "1"],
    "ladder": ["ladder", "MODEL", "--text", "TEXT", "--ctx", "16", "--levels", "Q8_0"],
}
WORKS = {
    "inspect": ["inspect", "MODEL"],
    "plan": ["plan", "MODEL", "--device", "rtx3090"],
    "quantize": ["quantize", "MODEL", "OUT", "--to", "Q8_0"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model, the same with a setting more and with a tensor more, and texts."""
    folder = tmp_path_factory.mktemp("refused")
    source = open_checkpoint(write_model(folder / "whole.gguf", columns=64))
    entries = [NewTensor(info.name, info.shape, info.format) for info in source.tensors.values()]
    sinks = NewTensor(NAMES["tensor"], (4,), FORMATS["F32"])
    for kind in NAMES:
        more = {NAMES["setting"]: 0.5} if kind == "setting" else {}
        tensors = [*entries, sinks] if kind == "tensor" else entries
        with create_checkpoint(
            folder / f"{kind}.gguf", tensors, dict(source.metadata) | more
        ) as writer:
            for name in source.tensors:
                writer.write(name, source.read(name))
            if kind == "tensor":
                writer.write(sinks.name, np.ones(4, "<f4").reshape(-1, 1).view(np.uint8))
    (folder / "text.txt").write_text("the cat and the hat in the rain " * 80)
    (folder / "prompts.txt").write_text("the cat\n")
    (folder / "tasks.jsonl").write_text('{"prompt": "the cat", "answer": "the hat"}\n')
    return folder


def call(words: list[str], folder: Path, kind: str, output: Path) -> int:
    places = {
        "MODEL": folder / f"{kind}.gguf",
        "WHOLE": folder / "whole.gguf",
        "TEXT": folder / "text.txt",
        "PROMPTS": folder / "prompts.txt",
        "TASKS": folder / "tasks.jsonl",
        "OUT": output / "out.gguf",
    }
    return main([str(places.get(word, word)) for word in words] + ["-q"])


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("verb", RUNS)
def test_every_verb_that_runs_a_model_names_what_it_does_not_read(
    verb: str, kind: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(RUNS[verb], folder, kind, tmp_path) == 2
    said = capfd.readouterr().err
    assert NAMES[kind] in said and f"{kind}.gguf" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("verb", WORKS)
def test_verbs_that_do_not_run_the_model_work(
    verb: str, kind: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(WORKS[verb], folder, kind, tmp_path) == 0, capfd.readouterr().err
