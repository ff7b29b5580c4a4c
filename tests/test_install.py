"""Setting up, with what can go wrong on somebody's machine: a line that says so, and the command can be repeated."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ROOT

PYTHON = """\
#!/bin/sh
# Stands for Python and its pip: notes how it is called, and does what $FAULT says.
echo "$*" >> calls
case "$FAULT: $*" in
  old:\\ -c*) exit 1 ;;
  *--version) echo "Python 3.9.18" ;;
  read-only:\\ *venv*) printf "Error: [Errno 30]\\nRead-only file system: .venv\\n" >&2; exit 1 ;;
  offline:\\ *\\ install\\ *) printf "Retrying\\nERROR: No matching distribution found for uv\\n" >&2; exit 1 ;;
  killed:\\ *\\ install\\ *) kill -KILL 0 ;;
  *-m\\ venv*) mkdir -p .venv/bin ;;
esac
"""
Install = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Sets up in a folder of its own: `install(fault)`."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (0, 0))
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def install(fault: str = "none", python: str = "./python") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [".ci/install", python, ".venv", "dev"],
            check=False,
            cwd=tmp_path,
            env={**os.environ, "FAULT": fault},
            capture_output=True,
            text=True,
            start_new_session=True,  # which a fault ends as a whole
        )

    return install


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("old", "Python 3.11 or newer is needed; ./python is Python 3.9.18. Name another: make … PYTHON=python3.12"),
        ("read-only", ".venv can't be made in {folder}: Error: [Errno 30] Read-only file system: .venv"),
        (
            "offline",
            "The pinned packages can't be installed; repeat the command when an index can be reached. "
            "pip: ERROR: No matching distribution found for uv",
        ),
    ],
)
def test_a_fault_is_told_in_a_line_and_the_command_can_be_repeated(
    install: Install, tmp_path: Path, fault: str, said: str
) -> None:
    failed = install(fault)
    assert (failed.returncode, failed.stderr) == (1, said.format(folder=tmp_path) + "\n")
    assert install().returncode == 0
    assert (tmp_path / ".venv" / "whole").exists()


def test_a_python_that_is_not_there_is_named(install: Install) -> None:
    assert "python3.99 is not there." in install(python="python3.99").stderr


def test_what_was_interrupted_is_made_anew_and_what_is_whole_is_not(install: Install, tmp_path: Path) -> None:
    def made_anew() -> bool:
        (tmp_path / "calls").unlink(missing_ok=True)
        assert install().returncode == 0
        return "-m venv --without-pip --clear .venv" in (tmp_path / "calls").read_text()

    assert install("killed").returncode == -signal.SIGKILL
    assert made_anew()
    assert not made_anew()
    (tmp_path / "requirements.txt").touch()
    assert made_anew(), "there are other pins"
