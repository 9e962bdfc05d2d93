"""Text to calibrate and to measure on: the user's files, or a built-in mix.

The built-in mix is made of files that come with Python, so it needs no network and no licence:
prose from Python's manual, code from the standard library, questions and answers made of its
documentation, and JSON with tool calls made of its signatures. Each domain is divided in two by a
hash of the origin of a text, so that no text is used both to calibrate and to evaluate.
"""

import hashlib
import inspect
import json
import pydoc_data.topics
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from zeropoint.checkpoints.files.user_files import TEXT_BYTES, read_user_text
from zeropoint.checkpoints.hub.open_model import resolve_text
from zeropoint.errors import MeasurementError

Part = Literal["calibrate", "evaluate"]

_DOCUMENTED = """
argparse array ast base64 bisect calendar collections configparser contextlib copy csv datetime
decimal difflib email.message fractions functools glob hashlib heapq html http.client io ipaddress
itertools json logging math mimetypes os os.path pathlib pickle platform pprint queue random re
sched shelve shlex shutil socket sqlite3 statistics string struct subprocess tarfile tempfile
textwrap threading time timeit tokenize types unittest urllib.parse uuid zipfile
""".split()

_MAX_DOMAIN_CHARACTERS = 400_000


@dataclass(frozen=True)
class Corpus:
    """Texts by domain. Two corpora are equal if their hashes are."""

    domains: Mapping[str, str]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over names and texts, in order: 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, text in self.domains.items():
            for part in (name.encode(errors="surrogateescape"), text.encode()):
                digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()


def read_corpus(files: Sequence[Path]) -> Corpus:
    """Read text files; each is a domain with the name of the file.

    Files must be UTF-8; a byte-order mark is dropped. Of a .jsonl file whose lines are objects with
    a string under "text", these strings are read. "hub:org/name:FILE" is a file of a data set on
    the hub. Raises MeasurementError for a file that is missing, not text, or empty, and for two
    files with the same name; CheckpointError if the hub does not provide a file.
    """
    domains: dict[str, str] = {}
    for path in (resolve_text(str(file)) for file in files):
        text = read_user_text(path, TEXT_BYTES, MeasurementError)
        if path.suffix == ".jsonl":
            text = _texts_of_records(text) or text
        if not text.strip():
            raise MeasurementError(f"{path}: the file has no text")
        name = path.stem if path.stem not in domains else path.name
        if name in domains:
            raise MeasurementError(f"{path}: another text is named {name!r} too; rename one")
        domains[name] = text
    return Corpus(domains)


def _texts_of_records(lines: str) -> str:
    """Return the texts of JSON objects, one per line, or "" for any other file."""
    texts = []
    for line in filter(str.strip, lines.split("\n")):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return ""
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            return ""
        texts.append(record["text"])
    return "\n\n".join(texts)


def builtin_corpus(part: Part) -> Corpus:
    """Return the built-in mix, with the domains prose, code, chat and json.

    It depends on the version of Python, so results include the corpus hash.
    """
    builders = {"prose": _prose, "code": _code, "chat": _chat, "json": _json}
    domains = {}
    for name, pieces in builders.items():
        by_part: dict[Part, list[str]] = {"calibrate": [], "evaluate": []}
        for origin, text in pieces():
            by_part[_part_of(origin)] += text.split("\n\n")
        known = set(by_part["calibrate"])  # Python's manuals repeat paragraphs
        if part == "evaluate":
            by_part[part] = [piece for piece in by_part[part] if piece not in known]
        text = "\n\n".join(by_part[part])[:_MAX_DOMAIN_CHARACTERS]
        domains[name] = re.sub(r" at 0x[0-9a-f]+", "", text)  # addresses vary
    return Corpus(domains)


def _part_of(origin: str) -> Part:
    return "calibrate" if hashlib.sha256(origin.encode()).digest()[0] % 2 else "evaluate"


def _prose() -> Iterator[tuple[str, str]]:
    for name, text in sorted(pydoc_data.topics.topics.items()):
        yield name, text.strip()


def _code() -> Iterator[tuple[str, str]]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(folder.glob("*.py")):
        yield path.name, path.read_text("utf-8", errors="replace")


def _documented() -> Iterator[tuple[str, str, str, inspect.Signature | None]]:
    """Yield module, name, documentation and signature of members of the standard library."""
    seen = set()  # documentation of members that several modules offer
    for module_name in _DOCUMENTED:
        __import__(module_name)
        module = sys.modules[module_name]
        for name in sorted(getattr(module, "__all__", None) or vars(module)):
            member = getattr(module, name, None)
            text = inspect.getdoc(member)
            if name.startswith("_") or not callable(member) or not text or len(text) < 80:
                continue
            if text in seen:
                continue
            seen.add(text)
            try:
                signature = inspect.signature(member)
            except (ValueError, TypeError):
                signature = None
            yield module_name, name, text, signature


_QUESTIONS = (
    "What does {module}.{name} do?",
    "How do I use {name} from the {module} module?",
    "Can you explain {module}.{name} to me?",
    "I found {name} in some code that imports {module}. What is it for?",
)


def _chat() -> Iterator[tuple[str, str]]:
    for index, (module, name, text, signature) in enumerate(_documented()):
        question = _QUESTIONS[index % len(_QUESTIONS)].format(module=module, name=name)
        example = f"\n\nIts signature is `{name}{signature}`." if signature else ""
        yield module, f"User: {question}\n\nAssistant: {text}{example}"


def _json() -> Iterator[tuple[str, str]]:
    for module, name, text, signature in _documented():
        if signature is None:
            continue
        summary = text.split("\n\n")[0].replace("\n", " ")
        parameters = {
            key: {"type": "string", "required": value.default is inspect.Parameter.empty}
            for key, value in signature.parameters.items()
        }
        tool = {"name": f"{module}.{name}", "description": summary, "parameters": parameters}
        call = {
            "name": f"{module}.{name}",
            "arguments": {
                key: None if value.default is inspect.Parameter.empty else str(value.default)[:40]
                for key, value in signature.parameters.items()
            },
        }
        yield (
            module,
            json.dumps(tool, indent=2) + "\n<tool_call>\n" + json.dumps(call) + "\n</tool_call>",
        )
