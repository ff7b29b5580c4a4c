"""The notebooks run from top to bottom without a key or a network, and are committed with what they show."""

import asyncio
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.notebooks import FOLDER, METADATA, execute
from tests.support.prepared_python import prepared
from tests.support.program import program

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
MOST_BYTES = 400_000
NOT_SHOWN_BEFORE_TRUSTED = {"image/svg+xml", "text/html", "application/javascript"}
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/<])/(?:home|root|tmp|usr|opt|var|work|Users|private|mnt)/|[A-Z]:\\\\|site-packages"
)
NO_NETWORK = """\
import socket

connect = socket.socket.connect


def connect_here(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"Notebooks may not use the network; this one reached for {address!r}.")
    return connect(self, address)


socket.socket.connect = connect_here
"""

# Matplotlib asks for the kernel's choice when it is imported, which it has been. What a cell starts is forked as well.
KERNEL = """\
import matplotlib, runpy, sys

matplotlib.rcParams["backend"] = "module://matplotlib_inline.backend_inline"
sys.executable = sys.argv.pop(1)
runpy.run_module("ipykernel_launcher", run_name="__main__")
"""


def read(name: str) -> "NotebookNode":
    import nbformat  # which takes long, in each of the processes that collect the tests

    return nbformat.read(FOLDER / name, as_version=4)


def code_cells(notebook: "NotebookNode") -> "list[NotebookNode]":
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook: "NotebookNode") -> set[str]:
    """The types of what it shows."""
    return {kind for cell in code_cells(notebook) for output in cell.outputs for kind in output.get("data", {})}


def kinds(cell: "NotebookNode") -> list[str]:
    """What a cell shows: `stdout`, or the richest type of a value."""
    return [output.get("name") or next(iter(sorted(output.data))) for output in cell.outputs]


def test_the_four_are_there() -> None:
    assert [name[:3] for name in NOTEBOOKS] == ["01_", "02_", "03_", "04_"]


@pytest.mark.timeout(600)  # four kernels import all there is, and draw: no more than a guard against hanging
def test_they_run_and_show_what_is_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, since most of their time goes into waiting for a model."""
    copies = {name: Path(shutil.copytree(FOLDER, tmp_path / name)) for name in NOTEBOOKS}
    (startup := tmp_path / "ipython" / "profile_default" / "startup").mkdir(parents=True)
    (startup / "no_network.py").write_text(NO_NETWORK)
    (kernel := tmp_path / "jupyter" / "kernels" / "python3").mkdir(parents=True)
    program(tmp_path / "python", f'#!/bin/sh\nexec {shlex.join(prepared())} "$@"\n')
    start = prepared("-c", KERNEL, str(tmp_path / "python"), "-f", "{connection_file}")
    (kernel / "kernel.json").write_text(json.dumps({"argv": start, "display_name": "Python", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    async def execute_all() -> "list[NotebookNode]":
        return await asyncio.gather(*(execute(folder / name) for name, folder in copies.items()))

    for name, run in zip(NOTEBOOKS, asyncio.run(execute_all()), strict=True):
        assert [kinds(cell) for cell in code_cells(run)] == [kinds(cell) for cell in code_cells(read(name))], name
        left = {path.name for path in copies[name].iterdir()} - set(NOTEBOOKS)
        assert not left, f"{name} left files behind: {left}"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_committed_with_outputs_and_pictures(name: str) -> None:
    import nbformat

    notebook = read(name)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run it: make notebooks"
    assert {output.output_type for cell in cells for output in cell.outputs} <= {
        "stream",
        "execute_result",
        "display_data",
    }
    assert not [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert "image/png" in shown(notebook)
    assert not shown(notebook) & NOT_SHOWN_BEFORE_TRUSTED


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_says_nothing_of_the_machine(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    notebook = json.loads(text)

    assert notebook["metadata"] == METADATA
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    assert not ABSOLUTE_PATH.findall(text)
    assert len(text) < MOST_BYTES
