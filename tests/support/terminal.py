"""The command line as a process on a pseudo-terminal, and the environment that tests run it in."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.support import PATIENCE, ROOT
from tests.support.model_server import ModelServer
from tests.support.prepared_python import prepared

MOUNTAINS = {"LLM_COMPILER_GRAPH": "tests.support.mountains", "PYTHONPATH": str(ROOT)}
"""What has a process run the agent of `tests.support.mountains`, whatever the default one is."""

INSTALLED_COMMAND = [str(Path(sys.executable).with_name("llm-compiler"))]
PREPARED_COMMAND = prepared(*INSTALLED_COMMAND)
"""The same script, where the imports have been made."""

COMMAND = prepared("-m", "apps.cli.main")


def without_plots(module: str) -> list[str]:
    """The command `python -m module` where Matplotlib is not installed. To draw takes longer than all else that an
    evaluation does."""
    code = """\
import runpy, sys
for name in ("plot_style", "plots"):
    sys.modules.pop(f"apps.evaluation.{name}", None)
sys.modules["matplotlib"] = None
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
    return prepared("-c", code, module)


WITHOUT_PLOTS = without_plots("apps.cli.main")

# The cursor goes up before each picture but the first.
_LAST_PICTURE = re.compile(r".*\x1b\[1A(?:\x1b\[2K)?", re.DOTALL)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


def environment(**more: str) -> dict[str, str]:
    """The environment of the command: no network but loopback, and no traces."""
    return {**os.environ, "LANGSMITH_TRACING": "false", "HTTPS_PROXY": "http://127.0.0.1:9", **more}


def scripted(server: ModelServer, **more: str) -> dict[str, str]:
    """The environment in which a scripted server is the model."""
    settings = {"OPENAI_API_KEY": "sk-very-secret", "OPENAI_BASE_URL": server.base_url}
    return environment(LLM_COMPILER_MODEL="openai:test-model", **settings, **more)


def mountains(server: ModelServer, **more: str) -> dict[str, str]:
    """The same, over the agent of `tests.support.mountains`."""
    return scripted(server, **MOUNTAINS, **more)


class Terminal:
    """The command on a pseudo-terminal."""

    def __init__(self, command: list[str], *, columns: int, folder: Path, env: dict[str, str]) -> None:
        self._keyboard, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**env, "TERM": "xterm-256color"},
            stdin=screen,
            stdout=screen,
            stderr=screen,
        )
        os.close(screen)
        self._position = 0
        self.output = ""
        """All that has been written, control codes and all."""

    def read_until(self, text: str) -> None:
        """Reads on from where it stopped last, until the text comes."""
        deadline = time.monotonic() + PATIENCE
        while (found := (plain := _CONTROL.sub("", self.output)).find(text, self._position)) < 0:
            ready = select.select([self._keyboard], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"{text!r} did not come in {plain[self._position :]!r}"
            assert self._read(), f"{text!r} did not come before the end in {plain[self._position :]!r}"
        self._position = found + len(text)

    def read_all(self) -> str:
        """What is written until the command ends, as it stands on the screen at last."""
        while self._read():
            pass
        return _CONTROL.sub("", _LAST_PICTURE.sub("", self.output))

    def type(self, text: str) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            os.write(self._keyboard, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._keyboard)

    def _read(self) -> str:
        try:
            text = os.read(self._keyboard, 65536).decode(errors="replace")
        except OSError:  # Linux's way to say that the other end is closed
            return ""
        self.output += text
        return text
