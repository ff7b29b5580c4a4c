"""What people read: README, CONTRIBUTING, SECURITY and the pages of docs/, with their snippets and commands."""

import re
from functools import cache

from tests.support import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in PAGES}

FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@cache
def blocks(language: str) -> list[str]:
    """The fenced blocks in this language, of all documents."""
    found = [block for text in DOCUMENTS.values() for block in FENCED.finditer(text)]
    return [re.sub(f"^{block[1]}", "", block[3], flags=re.MULTILINE) for block in found if block[2] == language]


def python(beginning: str) -> str:
    """The one Python block that has this text."""
    (found,) = [block for block in blocks("python") if beginning in block]
    return found
