"""The agents that are compared: on the same tools, with the same model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from langchain_core.tools import BaseTool

from agent import Context
from agent.language.tasks import Signature
from agent.models import load_model
from agent.tooling.describe import signature_of
from apps.runs.graphs import Graph, find_graph
from graphs.react import PROMPT, create_react

NAMES = ("llm-compiler", "react", "parallel-react")
REACT = "react"

UNKNOWN_AGENT = "There is no agent {name!r}; there are {names}."
NO_TOOLS = "{module} can't be evaluated: it needs its tools as the list `TOOLS`, which the baselines get too."


class AgentError(RuntimeError):
    """An agent can't be made; the message says why."""


@dataclass(frozen=True)
class Agent:
    """An agent that answers questions."""

    name: str
    graph: Graph
    """Takes and gives `messages`."""

    context: Context
    """What it is run with."""

    told: bool = False
    """Whether its own prompt has the instruction about the form of answers."""

    signatures: Mapping[str, Signature] = field(default_factory=dict)
    """Those of its tools."""


@dataclass(frozen=True)
class Subject:
    """What is evaluated: the graph, and its tools for the baselines."""

    graph: Graph
    tools: Sequence[BaseTool]


def find_subject(name: str) -> Subject:
    """The graph of that name (see `apps.runs.graphs`), whose module has its tools as `TOOLS`.

    Raises:
        AgentError: It has no `TOOLS`.
        GraphError: There is no graph of that name, or it can't be loaded.
    """
    found = find_graph(name)
    tools = getattr(found.module, "TOOLS", None)
    if tools is None:
        raise AgentError(NO_TOOLS.format(module=found.module.__name__))
    return Subject(found.graph, tools)


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
    # Nobody is there to be asked.
    context = Context(model=model, approve_side_effects=False)
    return [_make(name, subject, context, instruction) for name in names]


def _make(name: str, subject: Subject, context: Context, instruction: str) -> Agent:
    signatures = {tool.name: signature_of(tool) for tool in subject.tools}
    if name == "llm-compiler":
        return Agent(name, subject.graph, context, signatures=signatures)
    # In its prompt, because some models take one system message only.
    prompt = f"{PROMPT}\n\n{instruction}" if instruction else PROMPT
    graph = create_react(subject.tools, parallel=name == "parallel-react", prompt=prompt, name=name)
    return Agent(name, graph, context, told=True, signatures=signatures)
