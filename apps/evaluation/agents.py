"""The agents that are compared: on the same tools, with the same model."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph

from agent import Context
from agent.models import load_model
from apps.runs.graphs import listed_graph
from graphs.react import PROMPT, create_react

NAMES = ("llm-compiler", "react", "parallel-react")
REACT = "react"

UNKNOWN_AGENT = "There is no agent {name!r}; there are {names}."
NO_MODULE = "The module {name!r} can't be imported: {error}."
NOT_USABLE = (
    "{module} can't be evaluated: it needs {missing} (a compiled graph `graph`, and its tools as the list `TOOLS`)."
)


class AgentError(RuntimeError):
    """An agent can't be made; the message says why."""


@dataclass(frozen=True)
class Agent:
    """An agent that answers questions."""

    name: str
    graph: CompiledStateGraph[Any, Any, Any, Any]
    """Takes and gives `messages`."""

    context: Context
    """What it is run with."""

    told: bool = False
    """Whether its own prompt has the instruction about the form of answers."""


@dataclass(frozen=True)
class Subject:
    """What is evaluated: the graph, and its tools for the baselines."""

    name: str
    graph: CompiledStateGraph[Any, Any, Any, Any]
    tools: Sequence[BaseTool]


def find_subject(name: str) -> Subject:
    """The graph of that name in `langgraph.json`, or of any module by its full name, such as `my_package.my_graph`.

    Raises:
        AgentError: There is no such module, or it lacks `graph` or `TOOLS`.
        GraphError: There is no graph of that name.
    """
    if "." not in name:
        found = listed_graph(name)
        return Subject(name, found.graph, _attribute(found.module, "TOOLS"))
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a console script does not look there
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise AgentError(NO_MODULE.format(name=name, error=error)) from error
    return Subject(name, _attribute(module, "graph"), _attribute(module, "TOOLS"))


def make_agents(names: Sequence[str], subject: Subject, model: str, instruction: str) -> list[Agent]:
    """The agents of these names.

    Args:
        names: Some of `NAMES`.
        subject: The graph, and the tools that all of them get.
        model: The model that all of them get, as `provider:model`.
        instruction: What all of them are told about the form of answers.

    Raises:
        AgentError: A name is unknown.
        agent.ModelError: The model can't be had.
    """
    for name in names:
        if name not in NAMES:
            raise AgentError(UNKNOWN_AGENT.format(name=name, names=", ".join(NAMES)))
    load_model(model)  # or else every run would fail
    context = Context(model=model)
    return [_make(name, subject, context, instruction) for name in dict.fromkeys(names)]


def _make(name: str, subject: Subject, context: Context, instruction: str) -> Agent:
    if name == "llm-compiler":
        # As the others do it: nobody is there to be asked about what a replan would do.
        return Agent(name, subject.graph, context.model_copy(update={"approve_side_effects": False}))
    # In its prompt, because some models take one system message only.
    prompt = f"{PROMPT}\n\n{instruction}" if instruction else PROMPT
    graph = create_react(subject.tools, parallel=name == "parallel-react", prompt=prompt)
    return Agent(name, graph, context, told=True)


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        raise AgentError(NOT_USABLE.format(module=module.__name__, missing=f"`{name}`")) from None
