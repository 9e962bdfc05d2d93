"""The tokenizer files of a folder survive every conversion to a GGUF file and back."""

import json
from pathlib import Path

import pytest

from support import hf_folders
from support.tokenizer_folders import edit, ends
from zeropoint.checkpoints import Checkpoint, open_model
from zeropoint.checkpoints.tokenizers.tokenizer_facts import TOKENIZER_KEY
from zeropoint.cli import main
from zeropoint.models.tokenizer import read_tokenizer

pytest.importorskip("transformers")

CHAT = "a <|extra_0|>\n b<|extra_1|> <|im_start|>\t c"


def facts(checkpoint: Checkpoint) -> dict[str, object]:
    tokenizer = read_tokenizer(checkpoint)
    templates = {k: v for k, v in checkpoint.metadata.items() if k.startswith("tokenizer.chat_t")}
    return {
        "stops": tokenizer.stops,
        "special": dict(tokenizer.vocabulary.special_tokens),
        "plain": tokenizer.encode("hello the cat", ends=True),
        "chat": tokenizer.encode(CHAT, special=True),
        "templates": templates,
        "prefix": tokenizer.vocabulary.space_prefix,
    }


def write(kind: str, folder: Path) -> Path:
    """A model whose tokenizer says everything that GGUF has no key for."""
    hf_folders.make_folder("llama2", folder, tokenizer=kind)
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    if kind == "bytes":
        for entry in data["added_tokens"]:
            entry["rstrip"] = entry["content"] == "<|extra_0|>"
            entry["lstrip"] = entry["content"] == "<|im_start|>"
            entry["single_word"] = entry["content"] == "<|extra_1|>"
        data["post_processor"] = ends([("<s>", 1)], [("<|im_start|>", 3)])
    else:
        meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
        data |= {"normalizer": None, "pre_tokenizer": meta}
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    edit(folder / "generation_config.json", eos_token_id=[2, 10, 11, 12, 13])
    pad = "<pad>" if kind == "bytes" else "<unk>"
    edit(folder / "tokenizer_config.json", image_token="<s>", pad_token=pad)
    (folder / "chat_template.jinja").write_text("{{ eos_token }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("r")
    return folder


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
def test_nothing_is_lost_on_the_way(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write(kind, tmp_path / "model")
    wanted = facts(open_model(folder))
    assert {10, 11, 12, 13} <= set(wanted["stops"]) and len(wanted["templates"]) == 3
    assert TOKENIZER_KEY in open_model(folder).metadata
    path = str(folder)
    for output, to in (("a.gguf", "F32"), ("b.gguf", "F16"), ("c", "F32"), ("d.gguf", "Q8_0")):
        target = str(tmp_path / output)
        assert main(["quantize", path, target, "--to", to, "-q"]) == 0, capfd.readouterr().err
        assert facts(open_model(target)) == wanted, output
        path = target
