"""The hub's own client against a hub on this machine: what is fetched, cached and said."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import hf_folders
from support.fake_hub import NOWHERE, Machine, fake_hub
from support.tiny_models import write_model


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, bytes]]:
    root = tmp_path_factory.mktemp("hub")
    folder = hf_folders.make_folder("qwen2", root / "model")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "model.safetensors" in files
    refused = ("pytorch_model.bin", "modeling.py", "original/model.safetensors", "README.md")
    quants = {
        f"tiny-{name}.gguf": write_model(root / "tiny.gguf", columns=64, format=name).read_bytes()
        for name in ("Q8_0", "Q4_0")
    }
    return {
        "org/folder": files | dict.fromkeys(refused, b"import os"),
        "org/quants": {"README.md": b"quants", "config.json": b"{}"} | quants,
    }


def test_a_repository_is_fetched_once_and_used_offline(
    tmp_path: Path, repositories: Mapping[str, Mapping[str, bytes]]
) -> None:
    here = Machine(tmp_path)
    with fake_hub(repositories) as hub:
        done = here.zeropoint("inspect", "org/folder", "--json", hub=hub.address)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["tensors"]
        wanted = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}
        assert wanted <= set(hub.sent)
        assert all(name.endswith((".safetensors", ".json", ".jinja")) for name in hub.sent)
        assert not any("/" in name for name in hub.sent)
    words = ("run", "org/folder", "-p", "the", "-n", "3", "--no-chat", "--json")
    done = here.zeropoint(*words, hub=NOWHERE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "org/folder"


def test_one_gguf_of_several_is_fetched_by_its_tag(
    tmp_path: Path, repositories: Mapping[str, Mapping[str, bytes]]
) -> None:
    here = Machine(tmp_path)
    words = ("-p", "the cat", "-n", "3", "--json")
    with fake_hub(repositories) as hub:
        done = here.zeropoint("run", "org/quants:q4_0", *words, hub=hub.address)
        assert done.returncode == 0, done.stderr
        assert hub.sent == ["tiny-Q4_0.gguf"]
        several = here.zeropoint("run", "org/quants", *words, hub=hub.address)
        assert several.returncode == 2
        assert "tiny-Q4_0.gguf" in several.stderr and "tiny-Q8_0.gguf" in several.stderr
        missing = here.zeropoint("run", "org/nothing", *words, hub=hub.address)
        assert missing.returncode == 2 and "no such model" in missing.stderr
    again = here.zeropoint("run", "org/quants:q4_0", *words, hub=NOWHERE)
    assert json.loads(again.stdout)["tokens"] == json.loads(done.stdout)["tokens"]
    absent = here.zeropoint("run", "org/quants:Q8_0", *words, hub=NOWHERE)
    assert absent.returncode == 2 and absent.stdout == ""
    assert "cannot be reached" in absent.stderr and absent.stderr.count("\n") == 1
