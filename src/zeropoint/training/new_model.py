"""Writes a small new model: a byte-level vocabulary trained on the text, and random weights."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zeropoint.checkpoints import NewTensor, create_checkpoint
from zeropoint.checkpoints.families.new_model import DecoderShape, new_decoder
from zeropoint.checkpoints.tokenizers.vocabulary_files import read_vocabulary_files
from zeropoint.errors import MeasurementError, needs_packages
from zeropoint.formats import F32, FORMATS

END = "<|endoftext|>"
DEVIATION = 0.02  # of the initial weights


def train_vocabulary(texts: Sequence[str], size: int) -> dict[str, object]:
    """Return the keys `tokenizer.*` of byte pairs that are trained on a text.

    Raises MeasurementError if the text has too few different pairs for `size` tokens.
    """
    with needs_packages("training"):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    found = tokenizer.get_vocab_size()
    if found < size:
        raise MeasurementError(
            f"the text is too short for a vocabulary of {size:,} tokens: it has pairs for {found:,}"
        )
    with tempfile.TemporaryDirectory(prefix="zeropoint-") as name:
        folder = Path(name)
        tokenizer.save(str(folder / "tokenizer.json"))
        settings = {"eos_token": END, "bos_token": END, "add_bos_token": False}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return read_vocabulary_files(folder, size)


def write_new_model(
    path: Path, vocabulary: dict[str, object], shape: DecoderShape, *, sub_norms: bool, seed: int
) -> None:
    """Write a model with random weights; the same seed gives the same weights.

    Weights have a deviation of 0.02, those of projections into the residual stream
    0.02 / √(2 · layers), and norms are 1.
    """
    keys, shapes = new_decoder(shape, sub_norms=sub_norms)
    metadata = {**keys, "general.name": f"new model of {shape.layers} layers", **vocabulary}
    tensors = [NewTensor(name, size, FORMATS["F32"]) for name, size in shapes.items()]
    with create_checkpoint(path, tensors, metadata) as writer:
        for name, size in shapes.items():
            values = _initial(name, size, shape.layers, seed)
            writer.write(name, values.reshape(-1).view(np.uint8))


def _initial(name: str, size: tuple[int, ...], layers: int, seed: int) -> F32:
    if len(size) == 1:
        return np.ones(size, np.float32)
    residual = name.endswith(("attn_output.weight", "ffn_down.weight"))
    deviation = DEVIATION / (np.sqrt(2 * layers) if residual else 1)
    # A generator of its own for each tensor: the weights do not depend on the other tensors.
    random = np.random.default_rng([seed, *name.encode()])
    return (random.standard_normal(size) * deviation).astype(np.float32)
