"""The state of the graph: the conversation, and what one superstep leaves for the next."""

from collections.abc import Awaitable
from typing import Annotated, Any, Protocol

from langchain_core.messages import AIMessage
from langgraph.channels import EphemeralValue
from langgraph.graph import MessagesState
from langgraph.runtime import Runtime

from agent.context import Context


class State(MessagesState):
    """The conversation is the state: questions, plans (an `AIMessage` with tool calls), observations (a `ToolMessage`
    for each call) and answers."""

    plan: Annotated[AIMessage, EphemeralValue]
    """The plan that the planner has just finished; gone after the next superstep."""

    alone: Annotated[bool, EphemeralValue]
    """Whether the executor found no planner beside it in the superstep before."""

    feedback: Annotated[str, EphemeralValue]
    """What the joiner found missing, for the planner; gone after the next superstep."""


class Node(Protocol):
    """A node of this graph."""

    def __call__(self, state: State, runtime: Runtime[Context]) -> Awaitable[Any]: ...
