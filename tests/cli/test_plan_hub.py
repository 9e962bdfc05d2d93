"""`plan org/name`: only headers are read of what lies on the hub, and what went wrong is said."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import hf_folders
from support import published_configs as published
from support.fake_hub import NOWHERE, Machine, fake_hub
from support.tiny_models import write_model


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, bytes]]:
    root = tmp_path_factory.mktemp("hub")
    folder = hf_folders.make_folder("qwen2", root / "model")
    quant = write_model(root / "tiny.gguf", columns=512, format="Q8_0").read_bytes()
    return {
        "org/folder": {path.name: path.read_bytes() for path in folder.iterdir()},
        "org/quants": {"tiny-Q8_0.gguf": quant},
        "org/alone": {"config.json": json.dumps(published.LLAMA_8B).encode()},
    }


def test_a_quant_is_planned_for_by_its_header(tmp_path: Path, repositories) -> None:
    here = Machine(tmp_path)
    words = ("plan", "org/quants", "--device", "rtx3090", "--json")
    with fake_hub(repositories) as hub:
        done = here.zeropoint(*words, hub=hub.address)
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)["results"]
        whole = len(repositories["org/quants"]["tiny-Q8_0.gguf"])
        assert found["file_bytes"] == whole and found["basis"]["memory"] == "exact"
        assert 0.8 * whole < found["weights_bytes"] < whole
        assert hub.sent == [] and hub.ranges["tiny-Q8_0.gguf"] < whole


def test_of_a_folder_headers_and_the_config_are_read(tmp_path: Path, repositories) -> None:
    here = Machine(tmp_path)
    words = ("plan", "org/folder", "--device", "rtx3090", "--json")
    with fake_hub(repositories) as hub:
        done = here.zeropoint(*words, hub=hub.address)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["results"]
        assert {row["format"] for row in found} >= {"Q8_0", "Q4_K_M"}
        assert hub.sent == [] and set(hub.ranges) == {"config.json", "model.safetensors"}


def test_a_config_without_weights_is_described(tmp_path: Path, repositories) -> None:
    here = Machine(tmp_path)
    words = ("plan", "org/alone", "--device", "rtx3090", "--json", "--ctx", "32k", "--to", "Q4_K_M")
    with fake_hub(repositories) as hub:
        done = here.zeropoint(*words, hub=hub.address)
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)["results"]
        assert found["kv_bytes"] == 4 * 2**30 and found["basis"]["weights"] == "config.json"


def test_a_hub_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = Machine(tmp_path).zeropoint("plan", "org/any", "--device", "rtx3090", hub=NOWHERE)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "org/any" in done.stderr and "cannot be reached" in done.stderr
