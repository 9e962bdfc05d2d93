"""A Hugging Face folder is quantized as the GGUF file that it would become."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from zeropoint.checkpoints import open_checkpoint, open_model
from zeropoint.errors import FormatError
from zeropoint.plans import choose_formats
from zeropoint.quantizers import WriteOptions, dequantize, quantize_tensors

pytest.importorskip("transformers")


@pytest.mark.parametrize("family", ["llama2", "gemma3"])
def test_a_folder_becomes_a_gguf_of_the_same_weights(family: str, tmp_path: Path) -> None:
    from support import hf_folders

    folder = hf_folders.make_folder(family, tmp_path / "model")
    output = tmp_path / "out.gguf"
    with open_model(folder) as source:
        choices = choose_formats(source, "F32")
        records = list(quantize_tensors(source, choices, output, options=WriteOptions(to="F32")))
        assert all(record.error == 0 for record in records)  # float32 holds every 16-bit weight
        with open_checkpoint(output) as written:
            for name in source.tensors:
                np.testing.assert_array_equal(
                    dequantize(written.read(name)), dequantize(source.read(name))
                )
            hashes = written.metadata["zeropoint.source.sha256"]
        (file,) = source.files
    assert hashes == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_folder_under_its_own_names_is_refused(tmp_path: Path) -> None:
    from support import hf_folders

    folder = hf_folders.make_folder("llama2", tmp_path / "model")
    with open_checkpoint(folder) as source, pytest.raises(FormatError, match="open_model"):
        list(quantize_tensors(source, [], tmp_path / "out.gguf"))
