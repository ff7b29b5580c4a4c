"""Programs that tests write."""

import os
from pathlib import Path

import pytest


def program(path: Path, text: str) -> None:
    """Writes one. Where what is in temporary folders can't be executed, the test is skipped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    if not os.access(path, os.X_OK):
        pytest.skip(f"Nothing in {path.parent} can be executed: set TMPDIR to a folder without noexec")
