"""Sets of files that are wrong together: split GGUFs, indices, Hugging Face folders."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from support.malformed.build import Case, entry, head, header_json, key, padded, tensor, text, u32

INDEX = "model.safetensors.index.json"


def shard(number: int, count: int, total: int = 2, name: str = "a", extra: bytes = b"") -> bytes:
    keys = (
        key("split.no", 2, number.to_bytes(2, "little"))
        + key("split.count", 2, count.to_bytes(2, "little"))
        + key("split.tensors.count", 5, u32(total))
    )
    header = head(1, 3 + bool(extra)) + extra + keys + tensor(name, (1,))
    return padded(padded(header) + bytes(4))


def split_case(
    name: str, says: str, shards: dict[int, bytes], opened: int = 1, of: int = 2
) -> Case:
    def make(folder: Path) -> Path:
        for number, data in shards.items():
            (folder / f"m-{number:05}-of-{of:05}.gguf").write_bytes(data)
        return folder / f"m-{opened:05}-of-{of:05}.gguf"

    return Case("split: " + name, make, says)


def split_cases() -> Iterator[Case]:
    one, two = shard(0, 2, name="a"), shard(1, 2, name="b")
    yield split_case("the second is missing", "no such file", {1: one})
    yield split_case("the first is missing", "no such file", {2: two}, opened=2)
    yield split_case("the first twice", "split.no", {1: one, 2: one})
    yield split_case("exchanged", "must end in", {1: two, 2: one})
    yield split_case("number beyond the count", "split.no", {1: shard(2, 2), 2: two})
    yield split_case("the first says 3 shards", "must end in", {1: shard(0, 3), 2: two})
    yield split_case("the second says 3 shards", "split.count", {1: one, 2: shard(1, 3, name="b")})
    yield split_case("no shards", "split.count", {1: shard(0, 0), 2: two})
    yield split_case("60,000 shards", "split.count", {1: shard(0, 60_000)})
    yield split_case(
        "a lie about the tensors",
        "split.tensors.count",
        {1: shard(0, 2, 3), 2: shard(1, 2, 3, "b")},
    )
    yield split_case(
        "two answers about the tensors", "split.tensors.count", {1: one, 2: shard(1, 2, 3, "b")}
    )
    yield split_case(
        "-1 tensors", "split.tensors.count", {1: shard(0, 2, -1), 2: shard(1, 2, -1, "b")}
    )
    yield split_case("a tensor in both", "is also in", {1: one, 2: shard(1, 2, name="a")})
    mixed = [shard(n, 2, 2, "ab"[n], key("general.name", 8, text("xy"[n]))) for n in (0, 1)]
    yield split_case("shards of two models", "different models", {1: mixed[0], 2: mixed[1]})
    yield split_case("the second is cut", "data", {1: one, 2: two[:-40]})
    yield split_case("the second is no GGUF", "magic", {1: one, 2: b"GGML" + two[4:]})
    strange = head(0, 1) + key("split.count", 8, text("../../2"))
    yield split_case("a count that is a path", "split.count", {1: strange})
    alone = head(0, 1) + key("split.count", 2, b"\2\0")
    yield split_case("no number", "split.no", {1: alone})

    def renamed(folder: Path) -> Path:
        (folder / "model.gguf").write_bytes(one)
        return folder / "model.gguf"

    yield Case("split: a name without a number", renamed, "must end in -00001-of-00002.gguf")


def index_case(
    name: str, says: str, index: object, prepare: Callable[[Path], object] = lambda folder: None
) -> Case:
    """Build a folder with a good model-1.safetensors that has tensor a, and this index."""

    def make(folder: Path) -> Path:
        (folder / "model-1.safetensors").write_bytes(header_json({"a": entry()}) + bytes(4))
        data = index if isinstance(index, bytes) else json.dumps(index).encode()
        (folder / INDEX).write_bytes(data)
        prepare(folder)
        return folder

    return Case("index: " + name, make, says)


def mapped(shard_name: str) -> dict[str, object]:
    return {"weight_map": {"a": shard_name}}


def _prepare_shard(prepare: Callable[[Path], object], folder: Path) -> object:
    return prepare(folder / "x.safetensors")


def _elsewhere(folder: Path) -> Path:
    outside = folder / "outside"
    outside.mkdir()
    path = outside / "x.safetensors"
    path.write_bytes(header_json({"a": entry()}) + bytes(4))
    return path


def _replace(folder: Path, data: bytes) -> None:
    (folder / "model-1.safetensors").write_bytes(data)


def index_cases() -> Iterator[Case]:
    good = "model-1.safetensors"
    for name in (
        "../model-1.safetensors", "sub/../model-1.safetensors", "/etc/model-1.safetensors", "..",
        "/dev/zero", "a\\b.safetensors", "C:x.safetensors", "a\0.safetensors", "", ".safetensors",
        "pytorch_model.bin", "model.py", "x\x1b[2J.safetensors", "https://x/m.safetensors",
    ):  # fmt: skip
        yield index_case(f"names {name!r}", "no plain name", mapped(name))
    yield index_case("names what is missing", "no such file", mapped("none.safetensors"))
    yield index_case("names 4097 bytes", "limit", mapped("a" * 4097 + ".safetensors"))
    yield index_case(
        "names what no system opens", "cannot be opened", mapped("a" * 300 + ".safetensors")
    )
    special = {
        "a directory": lambda path: path.mkdir(),
        "a pipe": os.mkfifo,
        "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "a link out": lambda path: path.symlink_to(_elsewhere(path.parent)),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a broken link": lambda path: path.symlink_to("nothing"),
    }
    for name, prepare in special.items():
        says = {"a link to itself": "", "a broken link": "no such file"}.get(name, "")
        says = says or ("leads out" if name in ("a link to /dev/zero", "a link out") else "")
        says = says or ("not a regular file" if "link" not in name else "")
        yield index_case(
            f"names {name}", says, mapped("x.safetensors"),
            partial(_prepare_shard, prepare),
        )  # fmt: skip
    yield index_case(
        "a tensor that the shard lacks", "is not in", {"weight_map": {"a": good, "b": good}}
    )
    two = {"weight_map": {"a": good, "b": "model-2.safetensors"}}
    both = header_json({"a": entry(), "b": entry(4, 8)}) + bytes(8)
    yield index_case(
        "a tensor in two shards", "has tensor 'a'", two,
        lambda folder: (folder / "model-2.safetensors").write_bytes(both),
    )  # fmt: skip
    yield index_case(
        "a tensor that it lacks", "has tensor 'b'", mapped(good), lambda f: _replace(f, both)
    )
    yield index_case(
        "a tensor twice", "occurs twice", b'{"weight_map":{"a":"x.safetensors","a":"y"}}'
    )
    yield index_case(
        "a cut shard",
        "past the end",
        mapped(good),
        lambda f: _replace(f, header_json({"a": entry()})),
    )
    for name, data in {
        "empty": b"", "an array": b"[]", "cut": b'{"weight_map":{"a":', "no map": b"{}",
        "an empty map": b'{"weight_map":{}}', "a list for a map": b'{"weight_map":[]}',
        "a number for a name": b'{"weight_map":{"a":1}}', 
        "not UTF-8": b'{"weight_map":{"\xff":"x"}}',
        "10^5 deep": b'{"metadata":' + b"[" * 10**5, "metadata cut": b'{"metadata":{"a":[1,',
        "a map twice": b'{"weight_map":{"a":"x.safetensors"},"weight_map":{}}',
        "10^5 values": b'{"metadata":[' + b"1," * 10**5 + b"1]}", "NaN": b'{"metadata":NaN}',
    }.items():  # fmt: skip
        yield index_case(name, "", data)


def config_case(name: str, says: str, data: bytes) -> Case:
    def make(folder: Path) -> Path:
        (folder / "model.safetensors").write_bytes(header_json({"a": entry()}) + bytes(4))
        (folder / "config.json").write_bytes(data)
        return folder

    return Case("config: " + name, make, says)


def config_cases() -> Iterator[Case]:
    yield config_case("empty", "not JSON", b"")
    yield config_case("an array", "not an object", b"[]")
    yield config_case("10^5 deep", "nested", b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}")
    yield config_case("not UTF-8", "not UTF-8", b'{"a":"\xff"}')
    yield config_case("a key twice", "occurs twice", b'{"a":1,"a":2}')
    yield config_case("a number of 10^4 digits", "", b'{"a":' + b"1" * 10**4 + b"}")
    yield config_case("3 MiB", "limit", b'{"a":"' + b"x" * (3 << 20) + b'"}')
    yield config_case("cut", "not JSON", b'{"a":')


FOLDER_CASES = [*split_cases(), *index_cases(), *config_cases()]
