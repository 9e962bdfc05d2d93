"""Hooks of MkDocs: pages of the repository's root join the site, and links are adapted to it.

README.md is the home page. Links to files that are not part of the site become plain text, because
the site has no address of a repository to point to.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def root_pages() -> list[str]:
    """Return the names that pages of the root have in the site."""
    return list(ROOT_PAGES.values())


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root, with the links that they need at their new place."""
    from mkdocs.structure.files import File

    for source, target in ROOT_PAGES.items():
        text = (ROOT / source).read_text().replace("](docs/", "](")
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Point links at pages of the site, and drop those to other files of the repository."""

    def adapt(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:", target):
            return match[0]
        name = target.removeprefix("../")
        if name in ROOT_PAGES:
            up = "../" * page.file.src_uri.count("/")
            return f"[{text}]({up}{ROOT_PAGES[name]}{anchor})"
        here = Path(page.file.src_uri).parent
        found = Path(*_normal(here / target)).as_posix()
        if files.get_file_from_path(found):
            return match[0]
        is_folder = files.get_file_from_path(f"{found}/README.md")
        return f"[{text}]({target}/README.md{anchor})" if is_folder else text

    return LINK.sub(adapt, markdown)


def _normal(path: Path) -> list[str]:
    """Return the parts of a relative path without `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return parts
