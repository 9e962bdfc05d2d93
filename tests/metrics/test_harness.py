"""lm-evaluation-harness on our models gives what its transformers backend gives."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")

from support.hf_folders import make_folder
from zeropoint.checkpoints import open_model
from zeropoint.cli import main
from zeropoint.errors import MeasurementError
from zeropoint.metrics.peers.lm_eval import HarnessModel, evaluate
from zeropoint.models import load_model

pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's own

WORDS = "the rain in spain stays on the other train and then an ant eats the tent".split()

CHOICE = """task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
doc_to_choice: "{{{{choices}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
WRITTEN = """task: local_written
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{written}}}}"
generation_kwargs: {{until: ["zz"], max_gen_toks: 6, do_sample: false}}
metric_list: [{{metric: exact_match}}]
"""
ROLLING = """task: local_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{question}}}} {{{{choices[0]}}}}"
metric_list: [{{metric: bits_per_byte}}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder("llama2", tmp_path_factory.mktemp("harness") / "model")


@pytest.fixture(scope="module")
def tasks(folder: Path) -> Path:
    """Forty questions, whose written answers are what our model writes for every other one."""
    place = folder.parent / "tasks"
    place.mkdir()
    rows: list[dict[str, Any]] = []
    for number in range(40):
        words = [WORDS[(number * 7 + at * 3) % len(WORDS)] for at in range(5 + number % 9)]
        choices = [f"{WORDS[number % 15]} {letter}" for letter in "abc"]
        rows.append({"question": " ".join(words), "choices": choices, "answer": number % 3})
    (place / "data.json").write_text("\n".join(json.dumps(row) for row in rows))
    model = load_model(open_model(folder), threads=1)
    ours = HarnessModel(model)
    asked = [Asked((row["question"], {"until": ["zz"], "max_gen_toks": 6})) for row in rows]
    for number, (row, text) in enumerate(zip(rows, ours.generate_until(asked), strict=True)):
        row["written"] = text if number % 2 else "something else"
    (place / "data.json").write_text("\n".join(json.dumps(row) for row in rows))
    for name, task in (("choice", CHOICE), ("written", WRITTEN), ("rolling", ROLLING)):
        (place / f"{name}.yaml").write_text(task.format(data=place / "data.json"))
    return place


def backend(folder: Path, *, bos: bool = True) -> Any:
    """The harness's own, with BOS where our tokenizer has it: the file itself does not say.

    Told to add it, it also scores it, in texts that it scores as a whole.
    """
    from lm_eval.models.huggingface import HFLM

    device = {"dtype": "float32", "device": "cpu"}
    return HFLM(pretrained=str(folder), batch_size=1, add_bos_token=bos, **device)


class Asked:
    def __init__(self, args: tuple[Any, ...]) -> None:
        self.args = args


NAMES = ["local_choice", "local_written", "local_rolling"]


def test_every_score_is_that_of_the_harness_own_backend(
    folder: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    ours = evaluate(load_model(open_model(folder), threads=1), NAMES, include=tasks)
    manager = TaskManager(include_path=str(tasks))
    theirs: dict[str, Any] = {}
    for names, bos in ((NAMES[:2], True), (NAMES[2:], False)):
        theirs |= simple_evaluate(
            model=backend(folder, bos=bos), tasks=names, task_manager=manager, bootstrap_iters=0
        )["results"]
    for task, figure in (
        ("local_choice", "acc,none"),
        ("local_choice", "acc_norm,none"),
        ("local_written", "exact_match,none"),
    ):
        assert ours[task][figure] == theirs[task][figure], (task, figure)
    assert 0 < ours["local_choice"]["acc,none"] < 1
    assert 0.3 < ours["local_written"]["exact_match,none"] < 1
    bits = "bits_per_byte,none"
    assert ours["local_rolling"][bits] == pytest.approx(theirs["local_rolling"][bits], rel=1e-5)


def test_likelihoods_are_those_of_its_own_backend(folder: Path) -> None:
    ours = HarnessModel(load_model(open_model(folder), threads=1))
    theirs = backend(folder)
    pairs = [("the rain", " in spain"), ("the rain ", "in"), ("", "the rain"), ("a", "\nb")]
    asked = [Asked(pair) for pair in pairs]
    for one, other in zip(ours.loglikelihood(asked), theirs.loglikelihood(asked), strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-3) and one[1] == other[1]


def test_a_text_longer_than_the_context_is_scored_as_by_its_own_backend(folder: Path) -> None:
    """The last window is short, and what stands before it fills it up; prompts lose beginnings."""
    ours = HarnessModel(load_model(open_model(folder), threads=1))
    theirs = backend(folder, bos=False)
    long = " ".join(WORDS[at * at % len(WORDS)] for at in range(700))
    asked = [Asked((long[:-30],)), Asked((long,)), Asked(("the rain",))]
    assert len(ours._model.tokenizer.encode(long)) > ours._model.context_length == theirs.max_length
    found = ours.loglikelihood_rolling(asked), theirs.loglikelihood_rolling(asked)
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    theirs = backend(folder)
    rules = [{"until": ["zz"], "max_gen_toks": 5}, {"until": "zz", "max_new_tokens": 9}]
    asked = [Asked((text, rule)) for text in (long, long[:-7], "the rain") for rule in rules]
    assert ours.generate_until(asked) == theirs.generate_until(asked)


def test_a_task_that_it_does_not_know_is_one_sentence(folder: Path, tasks: Path) -> None:
    model = load_model(open_model(folder), threads=1)
    with pytest.raises(MeasurementError, match="has no task 'nonsense'"):
        evaluate(model, ["nonsense"], include=tasks)


def test_the_verb_prints_and_keeps_the_scores(
    folder: Path, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tasks", str(folder), "--lm-eval", "local_choice", "--include", str(tasks)]
    words += ["--count", "6", "--threads", "1", "--run", str(tmp_path / "run")]
    assert main([*words, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert 0 <= first["models"][0]["results"]["local_choice"]["acc,none"] <= 1
    kept = tmp_path / "run" / "harness-0.json"
    written = kept.stat().st_mtime_ns
    assert main(words) == 0
    assert "local_choice" in capsys.readouterr().out
    assert kept.stat().st_mtime_ns == written
