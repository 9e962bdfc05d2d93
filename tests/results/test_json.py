"""The JSON of every verb is a contract: no key and no type of it changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.verb_results import outputs, structure
from zeropoint.cli import main

# To write it again on purpose, delete the file and run this test.
GOLDEN = Path(__file__).parent / "structure.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    import contextlib
    import io

    def run(words: list[str]) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert main(words) == 0
        return said.getvalue()

    return outputs(tmp_path_factory.mktemp("verbs"), run)


def test_every_verb_writes_the_keys_and_types_that_it_always_wrote(written: dict[str, Any]) -> None:
    found = {name: structure(value) for name, value in written.items() if "pieces.json" not in name}
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
        pytest.fail(f"wrote {GOLDEN.name}; look at it and commit it")
    wanted = json.loads(GOLDEN.read_text())
    assert list(found) == list(wanted)
    for name, lines in wanted.items():
        assert found[name] == lines, name
