"""Runs JavaScript modules of `static/` in node, without a browser."""

import json
import subprocess
from pathlib import Path
from typing import Any

from support.required import node

STATIC = Path(__file__).parents[2] / "src/zeropoint/studio/static"
SECONDS = 60.0

_SCRIPT = """
import {{ readFileSync }} from "node:fs";
const modules = await Promise.all({modules}.map((path) => import(path)));
const exports = Object.assign({{}}, ...modules);
const run = {function};
const answer = run(exports, ...JSON.parse(readFileSync(0, "utf8")));
process.stdout.write(JSON.stringify(answer));
"""


def run_in_node(modules: list[str], function: str, *arguments: object) -> Any:
    """Call `function(exports, ...arguments)` on all exports of these modules; return its JSON."""
    paths = json.dumps([(STATIC / module).as_uri() for module in modules])
    script = _SCRIPT.format(modules=paths, function=function)
    done = subprocess.run(
        [node(), "--input-type=module", "--eval", script],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
