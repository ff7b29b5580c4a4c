"""The agents that are compared: on the same tools, with the same model."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph

from agent import Context
from agent.models import load_model

NAMES = ("llm-compiler", "react", "parallel-react")
REACT = "react"

UNKNOWN_AGENT = "There is no agent {name!r}; there are {names}."
NO_GRAPH = (
    "There is no graph {name!r}: {error}. Name a module in graphs/, such as parallel_qa, or any module by its path."
)
NOT_USABLE = (
    "{module} can't be evaluated: it needs {missing} (a compiled graph `graph`, and its tools as the list `TOOLS`)."
)


class AgentError(ValueError):
    """An agent can't be made; the message says why."""


@dataclass(frozen=True)
class Agent:
    """An agent that answers questions."""

    name: str
    graph: CompiledStateGraph[Any, Any, Any, Any]
    """Takes and gives `messages`."""

    context: Any = None
    """The context that it is run with."""


@dataclass(frozen=True)
class Subject:
    """What is evaluated: the graph, and its tools for the baselines."""

    name: str
    graph: CompiledStateGraph[Any, Any, Any, Any]
    tools: Sequence[BaseTool]


def find_subject(name: str) -> Subject:
    """The graph of a module in `graphs/`, or of any module by its full name, such as `my_package.my_graph`.

    Raises:
        AgentError: There is no such module, or it lacks `graph` or `TOOLS`.
    """
    path = name if "." in name else f"graphs.{name}"
    try:
        importlib.import_module("graphs.llm_compiler")  # makes the offline model known
        module = importlib.import_module(path)
    except ImportError as error:
        raise AgentError(NO_GRAPH.format(name=name, error=error)) from error
    return Subject(name, _attribute(module, "graph"), _attribute(module, "TOOLS"))


def make_agents(names: Sequence[str], subject: Subject, model: str) -> list[Agent]:
    """The agents of these names.

    Args:
        names: Some of `NAMES`.
        subject: The graph, and the tools that all of them get.
        model: The model that all of them get, as `provider:model`.

    Raises:
        AgentError: A name is unknown.
        agent.ModelError: The model can't be had.
    """
    for name in names:
        if name not in NAMES:
            raise AgentError(UNKNOWN_AGENT.format(name=name, names=", ".join(NAMES)))
    return [_make(name, subject, model) for name in dict.fromkeys(names)]


def _make(name: str, subject: Subject, model: str) -> Agent:
    loaded = load_model(model)
    if name == "llm-compiler":
        return Agent(name, subject.graph, Context(model=model))
    from graphs.react import create_react

    return Agent(name, create_react(subject.tools, model=loaded, parallel=name == "parallel-react"))


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        raise AgentError(NOT_USABLE.format(module=module.__name__, missing=f"`{name}`")) from None
