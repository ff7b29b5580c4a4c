"""The virtual environments of the packages that this template is raced against, made once and kept."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

HOME = ROOT / ".venv-peers"
"""Where they are kept; `.gitignore` has it, and `make clean` removes it."""


@dataclass(frozen=True)
class Contestant:
    """An agent that is raced."""

    name: str
    script: str
    """The module in `tests.benchmarks.contestants`."""

    arguments: tuple[str, ...] = ()
    package: str = ""
    """What is installed for it; nothing: it runs in this project's own environment."""

    @property
    def command(self) -> list[str]:
        """How its script is started."""
        python = str(_python(self.package)) if self.package else sys.executable
        return [python, "-m", f"tests.benchmarks.contestants.{self.script}", *self.arguments]


CONTESTANTS = (
    Contestant("llm-compiler", "llm_compiler", ("llm-compiler",)),
    Contestant("llm-compiler-maps", "llm_compiler", ("llm-compiler-maps",)),
    Contestant("llm-compiler-direct", "llm_compiler", ("llm-compiler-direct",)),
    Contestant("react", "react", ("react",)),
    Contestant("react-parallel", "react", ("react-parallel",)),
    Contestant("llmcompiler", "llmcompiler_package", package="llmcompiler"),
    Contestant("llama-index-agent-llm-compiler", "llama_index_package", package="llama-index-agent-llm-compiler"),
)


class PeerError(RuntimeError):
    """A package can't be installed; the message is pip's last words."""


def _python(package: str) -> Path:
    return HOME / package / "bin" / "python"


def install(contestant: Contestant) -> str:
    """Install a contestant's package, if it isn't yet.

    Returns:
        Its version; nothing if it has no package.

    Raises:
        PeerError: It can't be installed.
    """
    package = contestant.package
    if not package:
        return ""
    python = _python(package)
    if not (python.parent / "ready").exists():
        HOME.mkdir(exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(HOME / package)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package])
        (python.parent / "ready").touch()
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return _run([str(python), "-c", code]).strip()


def _run(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise PeerError((ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1])
    return ran.stdout
