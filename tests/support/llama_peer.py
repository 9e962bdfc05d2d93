"""Logits and text from stock llama.cpp, in a process of its own: what becomes of it is not ours.

The Python that has llama-cpp-python is this one, or the one that ZEROPOINT_PEER_PYTHON names.
Run as a script it is that process: python llama_peer.py LOGITS.npy TOKENS MODEL...
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

TOKENS = (1, 314, 288, 260, 279, 294, 273, 286, 273, 262, 290, 301)


def python() -> str:
    """Return the Python to run llama.cpp with."""
    return os.environ.get("ZEROPOINT_PEER_PYTHON", sys.executable)


def logits(models: Sequence[Path], tokens: Sequence[int] = TOKENS) -> np.ndarray:
    """Return (models, positions, vocabulary) logits. AssertionError with what llama.cpp said."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "logits.npy"
        done = subprocess.run(
            [python(), __file__, target, json.dumps(list(tokens)), *models],
            capture_output=True,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found: np.ndarray = np.load(target)
        return found


def main(target: str, tokens: Sequence[int], models: Sequence[str]) -> None:
    """Run as the child process."""
    import llama_cpp

    def evaluate(path: str) -> np.ndarray:
        # An F32 cache and no flash attention: rounding is not what is looked at here.
        model = llama_cpp.Llama(
            path, n_ctx=max(64, len(tokens)), n_threads=1, verbose=False, logits_all=True,
            flash_attn=False, type_k=0, type_v=0,
        )  # fmt: skip
        model.eval(list(tokens))
        found = np.array(model.scores[: len(tokens)], np.float32)
        model.close()
        return found

    np.save(target, np.stack([evaluate(path) for path in models]))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:])
