"""Without an optional package, a command that needs it names the extra; the others work."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.search_runs import write_search_text
from support.tiny_models import write_model
from zeropoint.checkpoints.tokenizers.pretokenizers import PRE_TOKENIZERS
from zeropoint.errors import MissingPackage
from zeropoint.models.tokenizer import make_splitter

# Runs the command line with some packages hidden.
PROGRAM = """
import sys
sys.modules |= dict.fromkeys(sys.argv[1].split(","))
from zeropoint.cli import main
sys.exit(main(sys.argv[2:]))
"""
SEARCH = ["search", "MODEL", "-o", "x.recipe", "--bits", "9", "--effort", "quick", "--text", "TEXT"]
TORCH = "torch,transformers,safetensors"


def run(hidden: str, folder: Path, *words: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, hidden, *map(str, words)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    write_search_text(folder / "text.txt")
    return write_model(folder / "tiny.gguf", columns=64)


def test_a_model_is_quantized_and_measured_without_torch(model: Path, tmp_path: Path) -> None:
    small, text = tmp_path / "small.gguf", model.with_name("text.txt")
    assert run(TORCH, tmp_path, "quantize", model, small, "--to", "Q8_0")[0] == 0
    words = ["--text", text, "--ctx", "16", "--chunks", "2", "--json"]
    status, said = run(TORCH, tmp_path, "measure", small, "--ref", model, *words)
    assert status == 0, said


def test_a_search_without_torch_says_that_its_predictions_are_less_good(
    model: Path, tmp_path: Path
) -> None:
    places = {"MODEL": str(model), "TEXT": str(model.with_name("text.txt"))}
    words = [places.get(word, word) for word in SEARCH]
    status, said = run(TORCH, tmp_path, *words, "--evaluations", "0")
    assert status == 0, said
    assert "torch is not installed, so losses are predicted from the errors of outputs" in said
    assert (tmp_path / "x.recipe").exists()


@pytest.mark.parametrize(
    ("hidden", "words", "package", "extra"),
    [
        (TORCH, [*SEARCH, "--prediction", "gradients"], "torch", "torch"),
        ("starlette", ["studio", "--no-open"], "starlette", "studio"),
        ("starlette", ["serve", "MODEL"], "starlette", "serve"),
    ],
)
def test_a_missing_package_is_one_sentence_with_the_extra(
    model: Path, tmp_path: Path, hidden: str, words: list[str], package: str, extra: str
) -> None:
    places = {"MODEL": str(model), "TEXT": str(model.with_name("text.txt"))}
    status, said = run(hidden, tmp_path, *(places.get(word, word) for word in words))
    assert status == 2, said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"needs the package {package}, which is not installed" in errors[0]
    assert f'pip install "zeropoint[{extra}]"' in errors[0]


def test_patterns_of_a_tokenizer_need_the_extra_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingPackage, match=r"zeropoint\[models\]"):
        make_splitter(PRE_TOKENIZERS["qwen2"])
