"""The graphs that `langgraph.json` lists. Command line and server run the one that LLM_COMPILER_GRAPH names."""

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

NOT_LISTED = "There is no graph {name!r} in langgraph.json; there are {names}."
NOT_LOADED = "The graph {name!r} can't be loaded from {place}: {error}"


class GraphError(RuntimeError):
    """A graph can't be had; the message says why."""


@dataclass(frozen=True)
class ListedGraph:
    """A graph that can be run."""

    name: str
    graph: Graph
    module: ModuleType
    """Where it is made."""

    @property
    def questions(self) -> Sequence[str]:
        """What its module gives as `QUESTIONS`: examples of what may be asked."""
        return tuple(getattr(self.module, "QUESTIONS", ()))


def served_graph() -> ListedGraph:
    """The graph that LLM_COMPILER_GRAPH names, `llm_compiler` by default.

    Raises:
        GraphError: There is none of that name, or it can't be loaded.
    """
    return listed_graph(os.environ.get("LLM_COMPILER_GRAPH") or DEFAULT)


def listed_graph(name: str) -> ListedGraph:
    """The graph of that name in `langgraph.json`.

    Raises:
        GraphError: There is none of that name, or it can't be loaded.
    """
    places = listed()
    if name not in places:
        raise GraphError(NOT_LISTED.format(name=name, names=", ".join(places)))
    path, _, attribute = places[name].rpartition(":")
    try:
        module = importlib.import_module(_module_name(path))
        made = getattr(module, attribute)
        graph = _make(made) if inspect.isfunction(made) else made
    except Exception as error:
        raise GraphError(NOT_LOADED.format(name=name, place=places[name], error=error)) from error
    return ListedGraph(name, graph, module)


def listed() -> dict[str, str]:
    """Where the graphs are, by name: `./graphs/llm_compiler.py:graph`."""
    graphs: dict[str, Any] = json.loads(FILE.read_text("utf-8"))["graphs"]
    return {name: entry if isinstance(entry, str) else entry["path"] for name, entry in graphs.items()}


def _module_name(path: str) -> str:
    """The module in a file of the project, or of that name."""
    if not path.endswith(".py"):
        return path
    if (project := str(FILE.parent)) not in sys.path:
        sys.path.append(project)  # a console script does not look there
    return ".".join(Path(path).with_suffix("").parts)


@cache
def _make(factory: Callable[[], Any]) -> Graph:
    """The graph that a function makes, sync or async. It is made once, and may be used in any event loop."""

    async def make() -> Graph:
        made: Any = factory()
        graph: Graph = await made if inspect.isawaitable(made) else made
        return graph

    with ThreadPoolExecutor(1) as thread:  # in which no event loop runs yet
        return thread.submit(asyncio.run, make()).result()
