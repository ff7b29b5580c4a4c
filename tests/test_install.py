"""Setting up, with what can go wrong on somebody's machine: a line that says so, and the command can be repeated."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT
from tests.support.program import program
from tests.support.waiting import until

PYTHON = """\
#!/bin/sh
# Stands for Python and its pip: notes how it is called, and does what $FAULT says.
echo "$*" >> calls
case "$FAULT: $*" in
  old:\\ -c*) exit 1 ;;
  no\\ pip:\\ *-m\\ pip*) exit 1 ;;
  *--version) echo "Python 3.9.18" ;;
  read-only:\\ *venv*) printf "Error: [Errno 30]\\nRead-only file system: .venv\\n" >&2; exit 1 ;;
  offline:\\ *\\ install\\ *) printf "Retrying\\nERROR: No matching distribution found for uv\\n" >&2; exit 1 ;;
  killed:\\ *\\ install\\ *) kill -KILL 0 ;;
  elsewhere:\\ *) [ -z "$PYTHONHOME$PYTHONWARNINGS$PIP_TARGET" ] || exit 1; mkdir -p .venv/bin ;;
  slow:\\ *-m\\ venv*) cat go; mkdir -p .venv/bin ;;
  *-m\\ venv*) mkdir -p "$(readlink -f .venv)/bin" ;;
esac
"""
UV = """\
#!/bin/sh
[ "$1" = cache ] && echo "$CACHE"
echo "without a cache: $UV_NO_CACHE" >> calls
"""
NPM = """\
#!/bin/sh
mkdir -p tests/javascript/node_modules/half
[ "$FAULT" = none ] && echo {} > tests/javascript/node_modules/.package-lock.json
"""
Install = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Sets up in a folder of its own: `install(fault)`."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (0, 0))
    program(tmp_path / "python", PYTHON)

    def install(
        fault: str = "none", python: str = "./python", folder: Path = tmp_path
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [".ci/install", python, ".venv", "dev"],
            check=False,
            cwd=folder,
            env={**os.environ, "FAULT": fault},
            capture_output=True,
            text=True,
            start_new_session=True,  # which a fault ends as a whole
            timeout=PATIENCE,
        )

    return install


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("old", "Python 3.11 or newer is needed; ./python is Python 3.9.18. Name another: make … PYTHON=python3.12"),
        ("read-only", ".venv can't be made in {folder}: Error: [Errno 30] Read-only file system: .venv"),
        (
            "offline",
            "The pinned packages can't be installed; "
            "repeat the command when this is mended, or an index can be reached: "
            "ERROR: No matching distribution found for uv",
        ),
        (
            "no pip",
            "The pinned packages can't be installed; "
            "repeat the command when this is mended, or an index can be reached: "
            "./python has no pip: sudo apt-get install python3-pip, or name another: make … PYTHON=python3.12",
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
    def made_anew(folder: Path = tmp_path) -> bool:
        (folder / "calls").unlink(missing_ok=True)
        assert install(folder=folder).returncode == 0
        return f"-m venv --without-pip --clear {folder}/.venv" in (folder / "calls").read_text()

    assert install("killed").returncode == -signal.SIGKILL
    assert made_anew()
    assert not made_anew()
    (tmp_path / "requirements.txt").touch()
    assert made_anew(), "there are other pins"
    copied = tmp_path / "copied"
    shutil.copytree(tmp_path, copied)
    assert made_anew(copied), "its scripts are those of the project that was copied"


@pytest.mark.skipif(not shutil.which("flock"), reason="flock is not on this machine")
async def test_of_two_at_the_same_time_one_sets_up(install: Install, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    first = asyncio.create_task(asyncio.to_thread(install, "slow"))
    calls = tmp_path / "calls"
    await until(lambda: calls.exists() and "venv" in calls.read_text())
    second = asyncio.create_task(asyncio.to_thread(install))
    await asyncio.to_thread((tmp_path / "go").write_text, "on")
    assert [(await one).returncode for one in (first, second)] == [0, 0]
    assert calls.read_text().count("-m venv") == 1


def test_the_environment_may_be_elsewhere(install: Install, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to("elsewhere")
    assert install().returncode == 0
    assert f"-m venv --without-pip --clear {tmp_path}/elsewhere\n" in (tmp_path / "calls").read_text()


def test_what_is_set_for_another_environment_does_not_count(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PYTHONHOME": "/nowhere", "PYTHONWARNINGS": "error", "PIP_TARGET": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    assert install("elsewhere").returncode == 0


def test_a_folder_that_setuptools_cannot_install_from_is_named(install: Install, tmp_path: Path) -> None:
    folder = tmp_path / "a $ign"
    shutil.copytree(tmp_path / ".ci", folder / ".ci")
    failed = install(python="../python", folder=folder)
    assert failed.stderr == f"setuptools can't install from a folder with a $ in its path; move it: {folder}\n"


@pytest.mark.parametrize(("cache", "without"), [("/dev/null/uv", "1"), ("cache", "")])
def test_where_no_cache_can_be_kept_there_is_none(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str, without: str
) -> None:
    program(tmp_path / ".venv" / "bin" / "uv", UV)
    monkeypatch.setenv("CACHE", cache)
    assert install().returncode == 0
    assert f"without a cache: {without}\n" in (tmp_path / "calls").read_text()


def test_what_npm_left_half_made_is_told_and_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "tests" / "javascript").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "javascript" / "package-lock.json", tmp_path / "tests" / "javascript")
    program(tmp_path / "bin" / "npm", NPM)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def make(fault: str) -> str:
        command = ["make", "tests/javascript/node_modules"]
        env = {**os.environ, "FAULT": fault}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    assert make("offline") == (
        "npm can't install tests/javascript/package-lock.json, so the tests of chats are skipped; "
        "this tells why: npm ci --prefix tests/javascript\n"
    )
    assert make("none") == ""
    assert "skipped" not in make("offline"), "it is there"
