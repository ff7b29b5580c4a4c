"""The project as git has it."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support import ROOT


def git(folder: Path, *arguments: str) -> str:
    """What git says in a folder. Where there is no git, the test is skipped.

    Raises:
        subprocess.CalledProcessError: Git refuses.
    """
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    try:
        return subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("git is not on this machine: apt-get install git")


@cache
def tracked(*patterns: str) -> list[Path]:
    """The files that git knows. Where it knows none, as in an unpacked archive, the test is skipped."""
    try:
        listed = git(ROOT, "ls-files", *patterns)
    except subprocess.CalledProcessError:
        listed = ""
    if not listed:
        pytest.skip("git doesn't know these files: git init && git add --all")
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]
