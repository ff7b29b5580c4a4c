"""Nothing that a run started is there after it, however it ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

COMMAND = [sys.executable, str(ROOT / "tests" / "support" / "leave_nothing.py")]
DAEMON = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)"
RUN = f"""
import os, signal, subprocess, sys, tempfile
subprocess.run([sys.executable, "-c", {DAEMON!r}])
subprocess.Popen(["sleep", "1000"])
signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a shell's background jobs ignore
print(os.getpid(), os.getppid(), tempfile.mkdtemp(), flush=True)
signal.pause()
"""
MAKE = "import subprocess, sys; subprocess.run(sys.argv[1:])"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do this")
@pytest.mark.parametrize(
    ("victim", "how"),
    [("run", signal.SIGKILL), ("run", signal.SIGINT), ("its keeper", signal.SIGTERM), ("make", signal.SIGKILL)],
)
def test_what_was_started_ends_when_something_is_killed(victim: str, how: signal.Signals) -> None:
    make = [sys.executable, "-c", MAKE, *COMMAND, sys.executable, "-c", RUN]
    with subprocess.Popen(make, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        run, keeper, folder = process.stdout.readline().split()
        os.kill({"run": int(run), "its keeper": int(keeper), "make": process.pid}[victim], how)
        assert process.stdout.read() == "", "it is at its end when all who could write to it have gone"
        assert not Path(folder).exists()


def test_the_exit_code_is_that_of_the_run() -> None:
    assert subprocess.run([*COMMAND, sys.executable, "-c", "raise SystemExit(3)"], check=False).returncode == 3
