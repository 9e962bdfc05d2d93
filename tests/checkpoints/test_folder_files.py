"""The files of a model folder: read only if they are regular, small enough, and in the folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support import hf_folders
from support.tokenizer_folders import edit
from zeropoint.checkpoints.folder import read_folder_json, read_folder_text
from zeropoint.checkpoints.tokenizers.vocabulary_files import read_vocabulary_files
from zeropoint.errors import CheckpointError

NAMES = ["tokenizer.json", "tokenizer_config.json", "config.json", "chat_template.jinja"]
NAMES += ["tokenizer.model", "generation_config.json", "special_tokens_map.json"]
NAMES += ["added_tokens.json"]
NAMES += ["chat_template.json", "additional_chat_templates/more.jinja"]


def link_out(path: Path) -> None:
    secret = path.parents[2] / "secret"
    secret.write_text("{}")
    path.symlink_to(secret)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "link out of the folder": (link_out, "leads out of the folder"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "leads out of the folder"),
    "link to itself": (lambda path: path.symlink_to(path.name), "cannot be opened"),
    "pipe": (os.mkfifo, "not a regular file"),
    "directory": (Path.mkdir, "not a regular file"),
    "huge": (lambda path: (path.touch(), os.truncate(path, 1 << 31)), "exceed the limit"),
    "not UTF-8": (lambda path: path.write_bytes(b"{\xff}"), "byte 1: is not UTF-8"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_file_that_is_no_plain_text_of_the_folder_is_one_sentence(
    name: str, fault: str, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "model"
    folder.mkdir(parents=True)
    kind = hf_folders.write_piece_tokenizer if "model" in name else hf_folders.write_byte_tokenizer
    kind(folder)
    read_vocabulary_files(folder, hf_folders.VOCABULARY)  # a control: it can be read as it is
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    if name.startswith("chat_template"):  # the first of them is read and no other
        edit(folder / "tokenizer_config.json", chat_template=None)
    spoil, says = FAULTS[fault]
    spoil(folder / name)
    if name == "tokenizer.model" and fault == "not UTF-8":
        says = "is not a SentencePiece model"
    with pytest.raises(CheckpointError, match=says) as caught:
        read_vocabulary_files(folder, hf_folders.VOCABULARY)
    assert name in str(caught.value)


def test_a_link_to_another_file_of_the_folder_or_to_the_hubs_blobs_is_read(tmp_path: Path) -> None:
    folder, blobs = tmp_path / "snapshots" / "main", tmp_path / "blobs"
    (folder / "more").mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_text('{"a": 1}')
    (folder / "hub.json").symlink_to("../../blobs/abc")
    (folder / "more" / "hub.json").symlink_to("../../../blobs/abc")
    (folder / "near.json").symlink_to("hub.json")
    for name in ("hub.json", "more/hub.json", "near.json"):
        assert read_folder_json(folder, name, 100) == {"a": 1}
    assert read_folder_text(folder, "absent.json", 100) is None


def test_a_linked_directory_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "model", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "a.jinja").write_text("secret")
    (folder / "more").symlink_to(outside)
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        read_folder_text(folder, "more/a.jinja", 100)
