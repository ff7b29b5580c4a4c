"""A Python that has imported LangGraph and the like already, so that it starts in a tenth of the time.

Of a short process of ours nine tenths go into imports, and the tests start a hundred of them. So one process makes
the imports once ([server.py](server.py)), and forks whenever a test starts one:

    subprocess.run(prepared("-m", "apps.cli.main", "How high is K2?"), …)

It is a process of its own all the same, with its arguments, folder, environment, terminal, signals and exit code. But
what happens at an import, or when Python starts, has happened before: a test that is about this uses `sys.executable`.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.cluster.databases import place_for_sockets
from tests.support import ROOT

ADDRESS = "PREPARED_PYTHON"
"""The environment variable with the path of the socket at which the process that forks listens."""


def prepared(*arguments: str) -> list[str]:
    """The command `python arguments…`."""
    return [sys.executable, "-IS", str(Path(__file__).with_name("client.py")), os.environ[ADDRESS], *arguments]


@contextmanager
def running() -> Iterator[None]:
    """The process that forks, for as long as this block."""
    with tempfile.TemporaryDirectory(dir=place_for_sockets()) as folder, socket.socket(socket.AF_UNIX) as listener:
        os.environ[ADDRESS] = f"{folder}/socket"
        listener.bind(os.environ[ADDRESS])
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__name__}.server", str(listener.fileno())],
            cwd=ROOT,
            env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            stdin=subprocess.PIPE,  # its end tells that this process has gone
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C is for pytest
        )
        try:
            yield
        finally:
            process.kill()
            process.communicate()
