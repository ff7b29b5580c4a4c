"""The project as git has it."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support import ROOT


@cache
def tracked(*patterns: str) -> list[Path]:
    """The files that git knows. Where it knows none, as in an unpacked archive, the test is skipped."""
    try:
        listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("git is not on this machine: apt-get install git")
    if not listed.stdout:
        pytest.skip("git doesn't know these files: git init && git add --all")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
