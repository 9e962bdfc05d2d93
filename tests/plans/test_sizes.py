"""The predicted size of a file is the size that the writer writes, to the byte."""

import numpy as np
import pytest

from zeropoint.checkpoints import create_checkpoint, open_checkpoint
from zeropoint.errors import CheckpointError
from zeropoint.plans import bits_per_weight, choose_formats, predict_size, quantized_metadata

VOCABULARY = [f"token {number}" for number in range(512)]


def small(outline):
    """A model of two layers: what the shape `awkward` has in layers 0 and 1, and around them."""
    whole = outline("awkward")
    kept = {
        name: tensor
        for name, tensor in whole.tensors.items()
        if name.startswith(("blk.0", "blk.1.")) or not name.startswith("blk.")
    }
    said = {"llama.block_count": 2, "tokenizer.ggml.tokens": VOCABULARY}
    return type(whole)({**whole.metadata, **said}, kept)


@pytest.mark.parametrize("preset", ["Q4_K_M", "Q2_K", "IQ4_XS", "F16", "COPY", "TQ1_0"])
@pytest.mark.parametrize("shard", [None, 150_000])
def test_the_predicted_size_is_the_size_of_the_files(preset, shard, outline, tmp_path) -> None:
    source = small(outline)
    choices = choose_formats(source, preset)
    metadata = quantized_metadata(source.metadata, choices, preset)
    predicted = predict_size(choices, metadata, max_shard_bytes=shard)
    writer = create_checkpoint(tmp_path / "out.gguf", choices, metadata, max_shard_bytes=shard)
    with writer:
        for choice in choices:
            writer.write(choice.name, np.zeros(choice.nbytes, np.uint8))
    files = list(tmp_path.iterdir())
    assert (len(files) > 1) == (shard is not None)
    assert predicted == sum(path.stat().st_size for path in files)
    with open_checkpoint(min(files)) as written:
        assert written.file_bytes == predicted
        found = {name: tensor.format.name for name, tensor in written.tensors.items()}
        assert found == {choice.name: choice.format.name for choice in choices}


def test_an_odd_alignment_counts(outline) -> None:
    source = small(outline)
    choices = choose_formats(source, "Q4_K_M")
    usual = predict_size(choices, source.metadata)
    wide = predict_size(choices, {**source.metadata, "general.alignment": 4096})
    assert wide > usual


def test_bits_per_weight_count_the_whole_file_over_all_elements(outline) -> None:
    source = small(outline)
    elements = sum(np.prod(tensor.shape) for tensor in source.tensors.values())
    assert bits_per_weight(1000, source.tensors.values()) == 8000 / elements
    assert bits_per_weight(1000, []) == 0.0


def test_a_format_that_gguf_cannot_store_is_named(outline) -> None:
    source = small(outline)
    with pytest.raises(CheckpointError, match="GGUF has no type INT4_SYM_ROW"):
        predict_size(choose_formats(source, "INT4_SYM_ROW"), source.metadata)


@pytest.mark.parametrize(
    ("to", "number"),
    [("Q4_K_M", 15), ("q4_k", 15), ("Q4_K_S", 14), ("MXFP4", 38), ("NVFP4", 39), ("F32", 0)],
)
def test_the_file_type_is_llama_cpps_number(to, number, outline) -> None:
    source = outline("llama-28")
    written = quantized_metadata(source.metadata, choose_formats(source, to), to)
    assert written["general.file_type"] == number
    assert written["general.quantization_version"] == 2


def test_a_mix_without_a_name_is_mostly_what_holds_most_weights(outline) -> None:
    source = outline("llama-28")
    choices = choose_formats(source, "Q5_K_S")
    assert quantized_metadata(source.metadata, choices)["general.file_type"] == 17
