"""Names: one class for each name, one module for each verb, no room in the way of a function."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import zeropoint

SOURCE = Path(zeropoint.__file__).parent


def test_public_class_names_are_unique() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert len(places) > 200, "the search finds the classes"
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def verb_of(name: str) -> str:
    """Return a module's name without an ending that makes a tense of a verb or a noun of one."""
    return re.sub(r"(ements?|ings?|ed|e)$", "", name) if len(name) > 5 else name


def test_the_endings_of_verbs_are_known() -> None:
    names = ["measure", "measured", "measuring", "measurement"]
    assert {verb_of(name) for name in names} == {"measur"}
    assert verb_of("drift") == verb_of("drifting") and verb_of("format") != verb_of("formats")


def test_no_two_modules_of_a_room_differ_by_the_tense_of_a_verb() -> None:
    rooms: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in SOURCE.rglob("*"):
        if path.suffix in (".py", ".js") or (path.is_dir() and path.name != "__pycache__"):
            room = path.relative_to(SOURCE).parts[0]
            rooms[room][verb_of(path.stem)].add(path.stem)
    found = {
        room: sorted(names)
        for room, verbs in rooms.items()
        for names in verbs.values()
        if len(names) > 1
    }
    assert found == {}


def test_no_room_is_called_like_a_function_of_the_package() -> None:
    """`zeropoint.tasks` would be the room after its first import, and not the function."""
    names = {path.stem for path in SOURCE.iterdir()}
    offered = {name for name in zeropoint.__all__ if name.islower()}
    assert len(offered) > 5
    assert names & offered == set()
