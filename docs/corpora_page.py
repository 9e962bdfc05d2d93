"""Write the tables into `corpora.md`: python docs/corpora_page.py (a test compares).

They are made from `sources.tsv`, which lists every excerpt, and from the files of the corpora.
"""

import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE.parent / "src/zeropoint/calibration/corpora"
MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
PARTS = ("calibrate", "select", "evaluate")


def render() -> str:
    """Return the page, with the tables as the files are now."""
    with (DATA / "sources.tsv").open() as file:
        excerpts = list(csv.DictReader(file, delimiter="\t"))
    tables = {"kinds": kind_rows(excerpts), "sources": source_rows(excerpts), "files": file_rows()}
    return MARKED.sub(
        lambda mark: mark[1] + "\n".join(tables[mark[2]]) + "\n" + mark[3],
        (HERE / "corpora.md").read_text(),
    )


def kind_rows(excerpts: list[dict[str, str]]) -> Iterator[str]:
    """Yield the tokens of every kind and part."""
    yield "| Kind | calibrate | select | evaluate | Excerpts |"
    yield "|---|---|---|---|---|"
    for kind in dict.fromkeys(row["kind"] for row in excerpts):
        own = [row for row in excerpts if row["kind"] == kind]
        tokens = [sum(int(r["tokens"]) for r in own if r["part"] == part) for part in PARTS]
        yield f"| `{kind}` | " + " | ".join(f"{n:,}" for n in tokens) + f" | {len(own)} |"


def source_rows(excerpts: list[dict[str, str]]) -> Iterator[str]:
    """Yield a row for each package and licence."""
    yield "| Package | Version | Licence | Kinds | Files | Tokens |"
    yield "|---|---|---|---|---|---|"
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in excerpts:
        groups.setdefault((row["package"], row["version"], row["licence"]), []).append(row)
    for (package, version, licence), rows in sorted(groups.items()):
        kinds = ", ".join(sorted({row["kind"] for row in rows}))
        files = len({row["file"] for row in rows})
        tokens = sum(int(row["tokens"]) for row in rows)
        yield f"| {package} | {version} | {licence} | {kinds} | {files} | {tokens:,} |"


def file_rows() -> Iterator[str]:
    """Yield the size and hash of every file."""
    yield "| File | Bytes | SHA-256 |"
    yield "|---|---|---|"
    for path in sorted(DATA.glob("*.xz")):
        data = path.read_bytes()
        yield f"| {path.name} | {len(data):,} | `{hashlib.sha256(data).hexdigest()}` |"


if __name__ == "__main__":
    page = render()
    (HERE / "corpora.md").write_text(page)
