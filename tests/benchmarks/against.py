"""Whether a task costs more of a core than at another commit: `make bench AGAINST=HEAD~1`.

The same measurement, in turn with the agent as it is and as it was; of each the best counts, since other programs only
add to it. While it looks worse, it is measured again.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.support import ROOT

MOST = 1.1
"""Times as much as before; more fails."""

LEAST_ROUNDS, MOST_ROUNDS = 3, 12
TASKS, REPEAT = "100", "10"


class NoSuchCommitError(RuntimeError):
    """Git doesn't have it, or it has no agent; the message is git's."""


def against(commit: str) -> float:
    """The CPU of a task, in multiples of what it was at a commit.

    Args:
        commit: As git names it.

    Raises:
        NoSuchCommitError: There is nothing to compare with.
        subprocess.CalledProcessError: The measurement failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        _unpack(commit, Path(folder))
        here, there = [], []
        for number in range(1, MOST_ROUNDS + 1):
            here.append(_measure(ROOT))
            there.append(_measure(Path(folder)))
            if number >= LEAST_ROUNDS and min(here) <= MOST * min(there):
                break
        return min(here) / min(there)


def _unpack(commit: str, folder: Path) -> None:
    made = subprocess.run(["git", "archive", commit, "agent"], cwd=ROOT, capture_output=True, check=False)
    if made.returncode:
        raise NoSuchCommitError(made.stderr.decode().strip())
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _measure(folder: Path) -> float:
    """Milliseconds of a core for a task, with the agent of this folder and the benchmark of this one."""
    command = [sys.executable, "-m", "tests.benchmarks.machinery", "agent", TASKS, REPEAT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    ran = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    measured: dict[str, float] = json.loads(ran.stdout)
    return measured["all_ms"]
