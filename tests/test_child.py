"""Child processes: their answers, and how their end is reported."""

import signal
import sys
from pathlib import Path

import pytest

from zeropoint.child import Child, NoAnswerError, ask

ECHO = """
import os, sys, json
from zeropoint.child import take_stdout
answers = take_stdout()
print("a library that prints")
for line in sys.stdin:
    request = json.loads(line)
    if request.get("exit"):
        sys.exit("no more requests")
    answers.write(json.dumps({"heard": request}).encode() + b"\\n")
    answers.flush()
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def test_one_request_is_answered() -> None:
    code = "import json, sys; print(json.dumps([*json.load(sys.stdin), 3]))"
    assert ask(python(code), [1, "zwei"], timeout_seconds=20) == [1, "zwei", 3]


def test_an_end_without_an_answer_says_how_it_ended() -> None:
    with pytest.raises(NoAnswerError, match="it ended with code 3: no answer"):
        ask(python("import sys; print('no answer', file=sys.stderr); sys.exit(3)"), 0,
            timeout_seconds=20)  # fmt: skip
    with pytest.raises(NoAnswerError, match="signal SIGKILL") as caught:
        ask(python("import os; os.kill(os.getpid(), 9)"), 0, timeout_seconds=20)
    assert caught.value.signal_number == signal.SIGKILL and not caught.value.timed_out
    with pytest.raises(NoAnswerError, match=r"longer than 0\.2 s") as caught:
        ask(python("while True: pass"), 0, timeout_seconds=0.2)
    assert caught.value.timed_out


def test_a_child_answers_requests_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "echo_child.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with Child("echo_child") as child:
        assert child.request({"a": 1}) == {"heard": {"a": 1}}
        assert child.request({}) == {"heard": {}}
        with pytest.raises(NoAnswerError, match="code 1: no more requests"):
            child.request({"exit": True})
        with pytest.raises(NoAnswerError, match="code 1"):
            child.request({})
