"""No code that comes with a model runs, and nobody is called: whatever lies in its folder."""

import json
import pickle
import socket
from pathlib import Path

import pytest

from support import hf_folders
from zeropoint.checkpoints import open_model
from zeropoint.cli import main
from zeropoint.models import load_model

PYTHON = """__init__ conftest configuration_evil modeling_evil numpy setup sitecustomize
    tokenization_evil torch transformers usercustomize custom_generate/generate""".split()
PICKLES = "pytorch_model.bin model.pt training_args.bin scheduler.pkl optimizer.pth".split()
EVIL = "evil--kernels/modeling_evil.Model"


class Pickled:
    """Touches the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.canary,)


def merge(path: Path, **more: object) -> None:
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(found | more), "utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that runs, and around it all that other tools would run."""
    made = hf_folders.make_folder("qwen2", tmp_path / "model")
    canary = tmp_path / "canary"
    (made / "custom_generate").mkdir()
    for name in PYTHON:
        (made / f"{name}.py").write_text(f"open({str(canary)!r}, 'w')\n")
    for name in PICKLES:
        (made / name).write_bytes(pickle.dumps(Pickled(canary)))
    remote = {"auto_map": {"AutoConfig": EVIL, "AutoModelForCausalLM": EVIL, "AutoTokenizer": EVIL}}
    merge(
        made / "config.json",
        **remote,
        trust_remote_code=True,
        _attn_implementation="evil/kernels",
        _attn_implementation_internal="evil/kernels:run",
        _experts_implementation="evil/kernels",
        custom_pipelines={"text-generation": {"impl": "modeling_evil.Model"}},
        architectures=["modeling_evil.Model"],
    )
    template = (
        "{{ cycler.__init__.__globals__.os.system('touch " + str(canary) + "') }}"
        "{% include '" + str(made / "setup.py") + "' %}{{ messages[0].content }}"
    )
    merge(made / "tokenizer_config.json", **remote, chat_template=template)
    merge(made / "generation_config.json", custom_generate="modeling_evil.Model", **remote)
    merge(made / "adapter_config.json", base_model_name_or_path="evil/base", **remote)
    merge(made / "preprocessor_config.json", **remote)
    (made / "chat_template.jinja").write_text(template)
    (made / "requirements.txt").write_text("evil\n")

    def refuse(*_: object, **__: object) -> None:
        (tmp_path / "canary").write_text("a socket was opened")
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(made)
    return made


def test_nothing_that_lies_beside_the_weights_is_run(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [str(folder), "-p", "hi", "-n", "2", "-q"]
    assert main(["run", *words, "--no-chat"]) == 0
    assert main(["run", *words, "--chat"]) == 2
    assert "its chat template cannot be rendered" in capfd.readouterr().err
    assert main(["inspect", str(folder)]) == 0
    assert main(["quantize", str(folder), str(tmp_path / "out.gguf"), "--to", "Q8_0"]) == 0
    assert main(["run", str(tmp_path / "out.gguf"), *words[1:], "--chat"]) == 2
    with open_model(folder) as checkpoint:
        judge = load_model(checkpoint, threads=1, engine="transformers")
        assert judge.logits([5, 6, 7]).shape == (3, hf_folders.VOCABULARY)
    assert not (tmp_path / "canary").exists()


def test_weights_that_are_only_pickled_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert main(["run", str(folder), "-p", "hi"]) == 2
    assert not (tmp_path / "canary").exists()
