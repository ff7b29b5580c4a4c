"""Runs the notebooks, and saves them with their outputs: `python -m tests.support.notebooks [NAME …]`.

What is saved says nothing of the machine: no times of execution, no Python version, no folders.
"""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import PATIENCE

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MODELS_AND_KEYS = ("OPENAI_", "LLM_COMPILER_", "LANGSMITH_", "LANGCHAIN_")


async def execute(path: Path) -> "NotebookNode":
    """The notebook with new outputs, run in its own folder.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
        nbclient.exceptions.CellTimeoutError: One took more than a minute.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=PATIENCE,
        startup_timeout=PATIENCE,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    await client.async_execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: "list[NotebookNode]") -> "list[NotebookNode]":
    """The outputs, with what was printed piece by piece in one."""
    joined: list[NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if before and output.output_type == "stream" == before.output_type and output.name == before.name:
            before.text += output.text
        else:
            joined.append(output)
    return joined


def main() -> None:
    """Run the notebooks that are named, or all, without the models and keys of the environment."""
    import nbformat

    for variable in list(os.environ):
        if variable.startswith(MODELS_AND_KEYS):
            del os.environ[variable]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not sys.argv[1:] or any(re.match(re.escape(name), path.name) for name in sys.argv[1:]):
            print(f"{path.name} ...", flush=True)  # noqa: T201
            notebook = asyncio.run(execute(path))
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
