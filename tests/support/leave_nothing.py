"""`python leave_nothing.py COMMAND…` runs it, and ends all that it started and left: also if it, or make, is killed.
Temporary files, which servers that are killed leave, go with it; but not pytest's, which keeps those of three runs.

On Linux. What is in a session of its own, as servers are, or whose parent has gone, is found all the same.
"""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import psutil

PARENT_DEATH_SIGNAL = 1
CHILD_SUBREAPER = 36
"""Of prctl(2): processes whose parents have gone become children of this one."""


def end_children() -> None:
    """End all children, and theirs, which are ours when their parents have gone."""
    while children := psutil.Process().children():
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
        for child in children:
            os.waitpid(child.pid, 0)


def main(command: list[str]) -> int:
    """Its exit code."""
    usual = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="run-")
    Path(folder).chmod(0o1777)  # as /tmp: PostgreSQL is run by another user
    os.environ |= {"TMPDIR": folder, "PYTEST_DEBUG_TEMPROOT": os.environ.get("PYTEST_DEBUG_TEMPROOT") or usual}
    prctl = ctypes.CDLL(None).prctl
    prctl(CHILD_SUBREAPER, 1)
    process = os.fork()
    if process == 0:
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as a shell's background jobs have it
        prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM if ignored else signal.SIGINT)
        os.execvp(command[0], command)

    def clean() -> None:
        end_children()
        shutil.rmtree(folder, ignore_errors=True)

    def stop(*_: object) -> None:
        clean()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command
    signal.signal(signal.SIGTERM, stop)
    prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getpgrp() != os.getpid():
        os.setsid()  # what is killed with the command's group, this is not
    while True:
        ended, status = os.wait()
        if ended == process:
            clean()
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if sys.platform != "linux":
        os.execvp(sys.argv[1], sys.argv[1:])
    sys.exit(main(sys.argv[1:]))
