"""What MkDocs needs beside docs/: the pages at the repository's root, and links to files that are no pages.

The Markdown files link each other as GitHub reads them. Here README, CONTRIBUTING and CHANGELOG become pages
of the site, and a link to another file of the repository becomes its address at ``repo_url``. A broken link
is left as it is, and `mkdocs build --strict` fails on it.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r'(?<=\]\()[^()\s]+(?=\))|(?<=src=")[^"]+(?=")')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand at the root."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Rewrite the links of a page, but not what stands in code."""
    source = Path(page.file.abs_src_path or "")
    parts = CODE.split(markdown)
    for i in range(0, len(parts), 2):
        parts[i] = TARGET.sub(
            lambda match: address(match[0], source, page.file.src_uri, config.repo_url or ""), parts[i]
        )
    return "".join(parts)


def address(link: str, source: Path, page: str, repo_url: str) -> str:
    """Where ``link`` of the file ``source`` leads on the site, as seen from its page ``page``."""
    path, mark, anchor = link.partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return link
    target = (source.parent / path).resolve()
    if not target.exists() or not target.is_relative_to(ROOT):
        return link
    name = target.relative_to(ROOT).as_posix()
    if name in PAGES:
        name = f"docs/{PAGES[name]}"
    elif target.is_dir() or not name.startswith("docs/"):
        return f"{repo_url}/{'tree' if target.is_dir() else 'blob'}/main/{name}{mark}{anchor}"
    return os.path.relpath(name.removeprefix("docs/"), Path(page).parent) + mark + anchor
