"""The small language model of the walk computes in JavaScript what zeropoint computes in Python."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from support.javascript import STATIC, run_in_node
from zeropoint.formats import find_format
from zeropoint.kernels.compare import compare_logits
from zeropoint.models import load_model

FILE = STATIC / "entries/stories.safetensors"
MODULES = ["language_model/stories.js", "language_model/quantized_matrix.js"]
BLOCKS = (16, 32, 64, 0)  # weights that share a scale; 0: a row
SETTINGS = [
    (bits, symmetric, block)
    for bits in range(2, 9)
    for symmetric in (True, False)
    for block in BLOCKS
]
MATRICES = ["model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight"]
ROWS = 64  # of each matrix that are compared
LOAD = """
  const file = Uint8Array.from(Buffer.from(bytes, "base64"));
  const stories = new exports.Stories(file), quantized = new exports.QuantizedStories(stories);
  const pack = (list) => Buffer.from(list.buffer).toString("base64");
"""


def in_javascript(body: str, *arguments: object) -> Any:
    """Run a function body in which `stories`, `quantized` and `pack` exist."""
    function = f"(exports, bytes, given) => {{ {LOAD} {body} }}"
    return run_in_node(MODULES, function, base64.b64encode(FILE.read_bytes()).decode(), arguments)


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.fixture(scope="module")
def metadata() -> dict[str, str]:
    with safe_open(FILE, "np") as file:
        return dict(file.metadata())


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    with safe_open(FILE, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


@pytest.fixture(scope="module")
def python_model(tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, str]) -> Any:
    """The same file as a Hugging Face folder, run by zeropoint."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder: Path = tmp_path_factory.mktemp("stories")
    known = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(json.loads(metadata["config"]) | known))
    words = json.loads(metadata["vocabulary"])
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    shutil.copy(FILE, folder / "model.safetensors")
    return load_model(folder, threads=1)


def test_the_logits_are_those_of_python(python_model: Any, metadata: dict[str, str]) -> None:
    """Both add about 2,000 products per number in another order, in float32 or better."""
    tokens = json.loads(metadata["held_out"])[0]
    found = in_javascript(
        """const cache = stories.newCache();
        const first = stories.reference.read(given[0].slice(0, 50), cache);
        const rest = stories.reference.read(given[0].slice(50), cache);
        return [pack(first), pack(rest)];""",
        tokens,
    )
    logits = np.concatenate([floats(part) for part in found]).reshape(len(tokens), -1)
    expected = python_model.logits(np.array(tokens, np.int32))
    # 3 layers of 7 products of up to 384 terms, each rounded by at most 2^-24 of the largest logit.
    bound = 3 * 7 * 384**0.5 * 2.0**-24 * np.abs(expected).max()
    assert np.abs(logits - expected).max() < bound


@pytest.fixture(scope="module")
def quantized(weights: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Codes and decoded weights at every setting, of the first rows of two matrices."""
    found = in_javascript(
        """return given[0].map(([bits, symmetric, block]) => {
            const model = quantized.at({ bits, symmetric, block });
            return Object.fromEntries(given[1].map((name) => [name,
                [quantized.codes[name], model.tensors[name].values].map((list) =>
                  pack(list.slice(0, given[2] * model.tensors[name].columns)))]));
        });""",
        SETTINGS,
        MATRICES,
        ROWS,
    )
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("at", range(len(SETTINGS)), ids=lambda at: str(SETTINGS[at]))
def test_the_codes_are_those_of_the_format(
    at: int, quantized: list[dict[str, Any]], weights: dict[str, np.ndarray]
) -> None:
    bits, symmetric, block = SETTINGS[at]
    share = f"G{block}" if block else "ROW"
    name = f"INT{bits}_{'SYM' if symmetric else 'ASYM'}_{share}"
    for tensor, (codes, decoded) in quantized[at].items():
        values = weights[tensor][:ROWS].astype(np.float32)
        format = find_format(name).for_shape(values.shape)
        blocks = format.encode_blocks(values.reshape(-1, format.block_size))
        parts = format.parts(blocks)
        found = np.frombuffer(base64.b64decode(codes), np.int8)
        np.testing.assert_array_equal(found, parts.codes.reshape(-1))
        np.testing.assert_array_equal(
            floats(decoded).view(np.uint32), parts.weights().reshape(-1).view(np.uint32)
        )


def test_the_divergence_is_that_of_the_metrics() -> None:
    """KL over the held-out text: computed in parts with a cache, as the figure does."""
    setting = {"bits": 3, "symmetric": True, "block": 32}
    kl, same, expected, found = in_javascript(
        """const model = quantized.at(given[0]);
        const { kl, same } = exports.finished(stories.compare(model));
        const read = (one) =>
          stories.heldOut.map((text) => pack(one.read(text, stories.newCache())));
        return [kl, same, read(stories.reference), read(model)];""",
        setting,
    )
    size = len(json.loads(safe_open(FILE, "np").metadata()["vocabulary"]))
    reference, quant = (
        np.concatenate([floats(text) for text in texts]).reshape(-1, size)
        for texts in (expected, found)
    )
    compared = compare_logits(reference, quant, np.zeros(len(reference), np.int32))
    assert kl == pytest.approx(float(np.mean(compared.kl)), rel=1e-9)
    assert same == np.mean(reference.argmax(axis=1) == quant.argmax(axis=1))
    assert kl > 0
