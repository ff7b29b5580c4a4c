"""Graphs by name. Command line and server run the one that LLM_COMPILER_GRAPH names.

A name is one of `langgraph.json`, or that of any module that has a compiled `graph`: `my_agent`, `my_package.my_agent`.
"""

import asyncio
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from langgraph.graph.state import CompiledStateGraph

Graph = CompiledStateGraph[Any, Any, Any, Any]

FILE = Path(__file__).parents[2] / "langgraph.json"
DEFAULT = "llm_compiler"

NOT_LISTED = (
    "There is no graph {name!r} in langgraph.json, and no module of that name is installed or in {folder}; "
    "there are {names}."
)
NOT_LOADED = "The graph {name!r} can't be loaded from {place}: {error}"


class GraphError(RuntimeError):
    """A graph can't be had; the message says why."""


@dataclass(frozen=True)
class NamedGraph:
    """A graph that can be run."""

    name: str
    graph: Graph
    module: ModuleType
    """Where it is made."""

    @property
    def questions(self) -> Sequence[str]:
        """What its module gives as `QUESTIONS`: examples of what may be asked."""
        return tuple(getattr(self.module, "QUESTIONS", ()))


def served_graph() -> NamedGraph:
    """The graph that LLM_COMPILER_GRAPH names, `llm_compiler` by default.

    Raises:
        GraphError: There is none of that name, or it can't be loaded.
    """
    return find_graph(served_name())


def served_name() -> str:
    """What LLM_COMPILER_GRAPH names, `llm_compiler` by default."""
    return os.environ.get("LLM_COMPILER_GRAPH") or DEFAULT


def find_graph(name: str) -> NamedGraph:
    """The graph of that name in `langgraph.json`, or the `graph` of the module of that name.

    Raises:
        GraphError: There is none of that name, or it can't be loaded.
    """
    places = listed()
    place = places.get(name, f"{name}:graph")
    path, _, attribute = place.rpartition(":")
    try:
        module = _import(path)
        made = getattr(module, attribute)
        graph = _make(made) if inspect.isfunction(made) else made
    except Exception as error:
        if name not in places and isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            names = ", ".join(places)
            raise GraphError(NOT_LISTED.format(name=name, folder=Path.cwd(), names=names)) from None
        raise GraphError(NOT_LOADED.format(name=name, place=place, error=error)) from error
    return NamedGraph(name, graph, module)


def listed() -> dict[str, str]:
    """Where the graphs are, by name: `./graphs/llm_compiler.py:graph`."""
    return {name: entry if isinstance(entry, str) else entry["path"] for name, entry in _entries().items()}


def description_of(name: str) -> str:
    """What `langgraph.json` says of a graph; empty if it says nothing."""
    entry = _entries().get(name)
    return str(entry.get("description", "")) if isinstance(entry, dict) else ""


def _entries() -> dict[str, Any]:
    if not FILE.exists():  # installed in another project, whose graphs are modules
        return {DEFAULT: f"./graphs/{DEFAULT}.py:graph"}
    graphs: dict[str, Any] = json.loads(FILE.read_text("utf-8"))["graphs"]
    return graphs


def _import(path: str) -> ModuleType:
    """The module in a file of the project, or of that name: one that is installed, or in the working directory."""
    is_file = path.endswith(".py")
    folder = str(FILE.parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # a console script does not look there
    return importlib.import_module(".".join(Path(path).with_suffix("").parts) if is_file else path)


@cache
def _make(factory: Callable[[], Any]) -> Graph:
    """The graph that a function makes, sync or async. It is made once, and may be used in any event loop."""

    async def make() -> Graph:
        made: Any = factory()
        graph: Graph = await made if inspect.isawaitable(made) else made
        return graph

    with ThreadPoolExecutor(1) as thread:  # in which no event loop runs yet
        return thread.submit(asyncio.run, make()).result()
