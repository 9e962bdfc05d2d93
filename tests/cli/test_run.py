"""`run`: text to stdout, remarks to stderr, the same text for the same seed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeropoint
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.cli.views import run as view
from zeropoint.models import Sampling, load_model
from zeropoint.results.generate import GenerateResult
from zeropoint.verbs.generate import TextPiece, generate_records, sampling_of
from zeropoint.verbs.options.generate import GenerateOptions


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


def run(*words: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zeropoint", "run", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env=os.environ,
    )


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command in this process; return what it says on stdout."""

    def act(*words: str | Path) -> str:
        code = main(["run", *map(str, words)])
        heard = capfd.readouterr()
        assert code == 0, heard.err
        return heard.out

    return act


@pytest.fixture
def facts(here: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    return lambda *words: json.loads(here(*words, "--json"))


def test_the_text_is_on_stdout_and_the_speed_on_stderr(tiny: Path, facts: Any) -> None:
    done = run(tiny, "-p", "the cat", "-n", "8", "--greedy")
    assert done.returncode == 0
    assert "tokens/s" in done.stderr and "tokens/s" not in done.stdout
    told = facts(tiny, "-p", "the cat", "-n", "8", "--greedy")
    assert done.stdout == f"{told['text']}\n"
    assert run(tiny, "-p", "the cat", "-n", "8", "--greedy", "-q").stderr == ""


def test_greedy_is_what_the_library_says(tiny: Path, facts: Any) -> None:
    told = facts(tiny, "-p", "the cat", "-n", "5", "--greedy", "--mode", "exact")
    model = load_model(open_checkpoint(tiny), threads=1)
    ids = model.tokenizer.encode("the cat", ends=True)
    assert told["prompt_tokens"] == len(ids)
    for wanted in told["tokens"]:
        best = int(model.logits(ids)[-1].argmax())
        assert best == wanted
        ids.append(best)


def test_a_seed_decides_and_another_decides_otherwise(tiny: Path, facts: Any) -> None:
    def tokens(seed: int, threads: int) -> object:
        words = (tiny, "-p", "a", "-n", "12", "--seed", str(seed), "--temperature", "2")
        return facts(*words, "--top-k", "0", "--min-p", "0", "--threads", str(threads))["tokens"]

    assert tokens(1, 1) == tokens(1, 2) != tokens(2, 1)


def test_a_prompt_may_come_through_a_pipe(tiny: Path, here: Callable[..., str]) -> None:
    words = (tiny, "-n", "6", "--greedy", "-q")
    typed = here(*words, "-p", "the cat")
    assert run(*words, stdin="the cat").stdout == typed
    assert run(*words, "-p", "-", stdin="the cat").stdout == typed


def test_ctrl_c_ends_it_with_130_and_what_was_said_stays(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    real = view.write

    def write(text: str) -> None:
        real(text)
        said.append(text)
        if len(said) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(view, "write", write)
    assert main(["run", str(tiny), "-p", "the cat", "-n", "50", "--greedy"]) == 130
    heard = capfd.readouterr()
    assert heard.out == "".join(said[:2]) + "\n"
    assert heard.err.strip() == "interrupted; no existing file was changed"


def test_options_of_sampling_reach_the_choice(
    tiny: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def tokens(*words: str) -> list[int]:
        common = ["run", str(tiny), "-p", "the cat", "-n", "12", "--seed", "5", "--json"]
        assert main([*common, "--temperature", "3", *words]) == 0
        found: list[int] = json.loads(capfd.readouterr().out)["tokens"]
        return found

    wide = tokens("--top-k", "0", "--top-p", "1", "--min-p", "0")
    greedy = tokens("--greedy")
    for narrow in (("--top-k", "1"), ("--top-p", "1e-9"), ("--min-p", "1"), ("--temperature", "0")):
        assert tokens(*narrow) == greedy != wide
    penalized = tokens("--greedy", "--repeat-penalty", "1000")
    assert len(set(penalized)) == len(penalized)


def test_two_models_are_told_apart(
    tiny: Path, tmp_path: Path, here: Callable[..., str], facts: Any
) -> None:
    other = write_model(tmp_path / "other.gguf", changes={"output.weight": flipped(tiny)})
    words = ("-p", "the cat", "-n", "6", "--greedy")
    told = facts(tiny, "--vs", other, *words)
    assert told["first_difference"] == 0
    assert told["vs"]["tokens"] == facts(other, *words)["tokens"]
    assert "First difference at token 1" in here(tiny, "--vs", other, *words)
    assert facts(tiny, "--vs", tiny, *words)["first_difference"] is None
    assert "No difference in 6 tokens" in here(tiny, "--vs", tiny, *words)


def test_the_function_returns_what_the_command_prints(
    tiny: Path, tmp_path: Path, facts: Any
) -> None:
    other = write_model(tmp_path / "other.gguf", changes={"output.weight": flipped(tiny)})
    timings = ("prompt_tokens_per_second", "generation_tokens_per_second", "peak_memory_bytes")

    def timeless(found: dict[str, Any]) -> dict[str, Any]:
        same = {key: value for key, value in found.items() if key not in timings}
        return {**same, **({"vs": timeless(found["vs"])} if "vs" in found else {})}

    records: list[object] = []
    words = ("-p", "the cat", "-n", "6", "--seed", "3")
    for versus in (None, other):
        options = () if versus is None else ("--vs", versus)
        printed = facts(tiny, *words, *options)
        result = zeropoint.generate(
            tiny, "the cat", tokens=6, seed=3, versus=versus, progress=records.append
        )
        returned = result.to_json()
        assert list(returned) == [key for key in printed if key not in ("schema", "zeropoint")]
        assert timeless(returned).items() <= timeless(printed).items()
    assert isinstance(records[0], TextPiece)
    text = "".join(piece.text for piece in records if isinstance(piece, TextPiece))
    assert text.startswith(result.text)
    model = load_model(open_checkpoint(tiny), mode="fast", threads=1)
    assert zeropoint.generate(model, "the cat", tokens=6, seed=3).text == result.text


def test_two_models_may_take_turns(tiny: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.gguf", changes={"output.weight": flipped(tiny)})
    options = GenerateOptions(tokens=5, greedy=True, threads=1)
    together, *rest = (
        list(generate_records([tiny, other], "the cat", options, interleaved=interleaved))
        for interleaved in (True, False)
    )
    places = [record.place for record in together if isinstance(record, TextPiece)]
    assert places[:6] == [0, 1, 0, 1, 0, 1]
    assert isinstance(together[-1], GenerateResult) and isinstance(rest[0][-1], GenerateResult)
    assert together[-1].comparison.vs.text == rest[0][-1].comparison.vs.text


def test_the_sampling_defaults_are_those_of_the_library() -> None:
    assert sampling_of(GenerateOptions()) == Sampling()


def flipped(path: Path) -> np.ndarray:
    """The head's matrix with the opposite sign: what was best is worst."""
    tensor = open_checkpoint(path).read("output.weight")
    return -tensor.format.decode_blocks(tensor.data).reshape(tensor.shape)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-p", "a", "--ctx", "513"], "a context of 513 tokens is more than the model's 512"),
        (["-p", "a " * 700], "context has room for 512"),
        (["-p", "a", "--chat"], "--no-chat"),
        (["-p", "a", "--top-p", "0"], "top-p must be greater than 0"),
        (["-p", "a", "--device", "toaster"], "supported: cpu, cuda"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    words: list[str], says: str, tiny: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tiny), *words]) == 2
    heard = capfd.readouterr()
    assert heard.out == ""
    assert says in heard.err and heard.err.count("\n") == 1


def test_neither_torch_nor_transformers_is_imported(tiny: Path) -> None:
    """Importing them would take longer than everything else here."""
    code = (
        "import sys; from zeropoint.cli import main; main(sys.argv[1:]);"
        "print(*{'torch', 'transformers', 'gguf'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(tiny), "-p", "a", "-n", "2", "-q"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == ""


def test_guesses_are_counted_and_proved_to_change_nothing(
    tiny: Path, tmp_path: Path, here: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    smaller = write_model(tmp_path / "smaller.gguf", format="Q2_K")
    words = (tiny, "-p", "the cat the cat the cat", "-n", "30", "--seed", "4", "--top-k", "0")
    plain = json.loads(here(*words, "--json"))
    assert plain["drafts"] is None and plain["proof"] is None
    for draft in ("ngram", smaller):
        found = json.loads(here(*words, "--draft", draft, "--prove", "--json"))
        assert found["tokens"] == plain["tokens"]
        assert found["drafts"]["draft"] == str(draft)
        assert 0 <= found["drafts"]["accepted_tokens"] <= found["drafts"]["guessed_tokens"]
        proof = found["proof"]
        assert proof["sha256_with_guesses"] == proof["sha256_without_guesses"]
    assert found["drafts"]["guessed_tokens"] > 0
    assert main(["run", *map(str, words), "--draft", "ngram", "--prove"]) == 0
    said = capfd.readouterr().err
    assert "guessed tokens were right" in said and "without guesses: the same tokens" in said


def test_a_text_that_guesses_changed_is_status_1(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hashes = iter("ab")
    monkeypatch.setattr("zeropoint.verbs.generate.hash_of_tokens", lambda _: next(hashes))
    words = ["run", str(tiny), "-p", "the", "-n", "3", "--draft", "ngram", "--prove"]
    assert main(words) == 1
    assert "OTHER TOKENS" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--prove"], "add --draft ngram or a model"),
        (["--draft", "no-such-draft"], "no-such-draft"),
    ],
)
def test_a_draft_that_cannot_be_is_one_sentence(
    tiny: Path, words: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tiny), "-p", "the", *words]) == 2
    said = capfd.readouterr().err
    assert says in said and said.count("\n") == 1
