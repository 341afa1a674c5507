"""Hooks of MkDocs: files that lie beside docs/ become pages, so that every link of a page leads somewhere.

GitHub shows the same pages where they are; only the site has these.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the project beside docs/, and what they are called in the site."""
_LINK = re.compile(r"\]\(([^)\s#]+)(#[^)]*)?\)")

_ROLE = re.compile(r":(?:class|func|meth|data|mod):<code>~?(?:[\w.]+\.)?(\w+)</code>")


def on_files(files: Files, config: Any) -> Files:
    """Add the project's own pages, and one for every source file that a page links to."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text()))
    for name in sorted({name for page in files.documentation_pages() for name in _outside(page)}):
        files.append(File.generated(config, _page_of(name), content=_listing(name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links that leave docs/ at the pages made above."""
    here = PurePosixPath(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        target = _in_repository(here, match[1])
        if target is None:
            return match[0]
        there = PAGES.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else _page_of(target))
        return f"]({'../' * (len(here.parts) - 1)}{there}{match[2] or ''})"

    return _LINK.sub(moved, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Roles of Sphinx in docstrings become the names that they refer to."""
    return _ROLE.sub(r"<code>\1</code>", html)


def _outside(page: File) -> set[str]:
    """Files of the repository, neither in docs/ nor one of ``PAGES``, that a page links to."""
    here = PurePosixPath(page.src_uri)
    found = {_in_repository(here, match[1]) for match in _LINK.finditer(page.content_string)}
    return {name for name in found if name and name not in PAGES and not name.startswith("docs/")}


def _in_repository(page: PurePosixPath, link: str) -> str | None:
    """The file that a link means, from the repository's root; None where the link is fine as it is."""
    if "://" in link or link.startswith("mailto:"):
        return None
    beside = str(page) in PAGES.values()
    folder = ROOT if beside else (ROOT / "docs" / page).parent
    target = (folder / link).resolve()
    if not target.is_relative_to(ROOT) or not target.exists():
        return None
    name = target.relative_to(ROOT).as_posix()
    return name if beside or not name.startswith("docs/") else None


def _page_of(name: str) -> str:
    return f"files/{name}.md"


def _listing(name: str) -> str:
    """A page that shows a source file, or the files of a folder."""
    path = ROOT / name
    if path.is_dir():
        inside = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith(("_", ".")))
        return f"# {name}\n\n" + "".join(f"- `{entry}`\n" for entry in inside)
    language = {".cpp": "cpp", ".c": "c", ".h": "c", ".py": "python", ".yml": "yaml"}.get(path.suffix, "text")
    return f"# {path.name}\n\n`{name}`\n\n````{language}\n{path.read_text()}\n````\n"
