"""Dialogues: tool calls with real results, and questions that a manual answers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from corpora import extract
from corpora.sources import LICENCES, Piece, files
from corpora.tools import TOOLS, messages_of

SYSTEMS = {
    "calibrate": (
        "You are a helpful assistant. Use the functions when they help, and answer briefly.",
        "You assist the staff of a small company. Never guess a number that a tool can compute.",
        "",
    ),
    "select": (
        "Answer in one or two sentences. Call a tool for anything that changes from day to day.",
        "",
    ),
    "evaluate": ("You are the voice of a reference desk: friendly, exact and short.", ""),
}
ASKED = {
    "calibrate": ("How do I {}?", "Could you explain how to {}?", "I want to {}. What do I do?"),
    "select": ("What is the way to {} here?", "Please show me the steps to {}."),
    "evaluate": ("I'd like to {}; where do I start?", "Help me to {}, please."),
}
ANSWER_CHARACTERS = 1800
IMPERATIVES = frozenset(
    """add adjust allow avoid back burn change check choose configure connect copy create customize
    delete disable edit enable find fix get hide install lock log make manage move open print record
    remove rename reset restart scan search send set share show sort start stop switch take test
    transfer turn use view write""".split()
)


def line(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> str:
    """Return a dialogue as one line of JSON."""
    return json.dumps({"tools": tools or [], "messages": messages}, ensure_ascii=False)


def tool_dialogues(part: str) -> Iterator[Piece]:
    """Yield dialogues of one or two requests, with one to three tools on offer."""
    rng = Random(f"tools for {part}")
    for number in range(60):
        used = TOOLS[part][number % len(TOOLS[part])]
        others = rng.sample([tool for tool in TOOLS[part] if tool != used], rng.randint(0, 2))
        offered = [used, *others]
        rng.shuffle(offered)
        system = rng.choice(SYSTEMS[part])
        messages = [{"role": "system", "content": system}] if system else []
        messages += messages_of(used, rng)
        if others and rng.random() < 0.5:
            messages += messages_of(others[0], rng)
        spoken = line(messages, [tool.definition for tool in offered])
        unit = f"{part} tools {number}"
        yield Piece("zeropoint", "benchmarks/corpora/tools.py", unit, (spoken,), "Apache-2.0")


def faq(root: Path, part: str) -> Iterator[Piece]:
    """Yield questions and answers of Python's FAQ; a dialogue has up to two of them."""
    package = "python3.11-doc"
    rng = Random(f"faq for {part}")
    for path in files(root, package, "usr/share/doc/python3.11/html/_sources/faq/*.rst.txt"):
        sections = re.split(r"(?m)^(\S.*\?)\n[-=]{5,}\n", path.read_text())[1:]
        pairs = list(zip(sections[::2], sections[1::2], strict=True))
        for number in range(0, len(pairs) - 1, 2):
            messages: list[dict[str, Any]] = []
            for question, answer in pairs[number : number + 1 + rng.randrange(2)]:
                answer = clipped(extract.from_rst(re.sub(r"\n[=-]{5,}\n", "\n", answer)))
                messages.append({"role": "user", "content": extract.from_rst(question)[0]})
                messages.append({"role": "assistant", "content": answer})
            name = str(path.relative_to(root / package))
            unit = f"faq {path.name} {number}"
            yield Piece(package, name, unit, (line(messages),), LICENCES[package])


def help_pages(root: Path, part: str) -> Iterator[Piece]:
    """Yield pages of GNOME's help as the answer to a question that their title gives."""
    package = "gnome-user-docs"
    rng = Random(f"help for {part}")
    for path in files(root, package, "usr/share/help/C/gnome-help/*.page"):
        paragraphs = extract.from_markup(path.read_text())
        title, rest = paragraphs[0], [p for p in paragraphs[1:] if len(p) > 25]
        word = title.split()[0].lower()
        if len(rest) < 3 or not (word in IMPERATIVES or title.endswith("?")):
            continue
        request = title
        if not title.endswith("?"):
            request = rng.choice(ASKED[part]).format(title[0].lower() + title[1:])
        messages = [
            {"role": "user", "content": request},
            {"role": "assistant", "content": clipped(rest)},
        ]
        name = str(path.relative_to(root / package))
        yield Piece(package, name, path.name, (line(messages),), LICENCES[package])


def clipped(paragraphs: list[str]) -> str:
    """Join paragraphs up to ANSWER_CHARACTERS."""
    answer = ""
    for paragraph in paragraphs:
        if answer and len(answer) + len(paragraph) > ANSWER_CHARACTERS:
            break
        answer += "\n\n" * bool(answer) + paragraph
    return answer


def characters_of(text: str) -> str:
    """Return everything that is said in a line of JSON, for the search for overlaps."""
    spoken = json.loads(text)
    said = [message["content"] for message in spoken["messages"]]
    calls = [json.dumps(m["tool_calls"]) for m in spoken["messages"] if "tool_calls" in m]
    return "\n\n".join([*said, *calls, *(json.dumps(tool) for tool in spoken["tools"])])
