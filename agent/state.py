"""The state of the graph: the conversation, and what one superstep leaves for the next."""

from collections.abc import Awaitable
from typing import Annotated, Any, Literal, NotRequired, Protocol

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.channels import EphemeralValue
from langgraph.graph.message import _messages_delta_reducer
from langgraph.runtime import Runtime
from typing_extensions import (
    TypedDict,
)  # Pydantic, which tools with this state go through, refuses typing's before 3.12

from agent.context import Context
from agent.conversation.channel import MessagesChannel


class Approve(TypedDict):
    """The call is made."""

    type: Literal["approve"]


class Action(TypedDict):
    """A call that is made instead of another one."""

    name: str
    args: dict[str, Any]


class Edit(TypedDict):
    """Another call is made in its place."""

    type: Literal["edit"]
    edited_action: Action


class Reject(TypedDict):
    """The call fails, for this reason."""

    type: Literal["reject"]
    message: NotRequired[str]


class Respond(TypedDict):
    """The message is the call's result."""

    type: Literal["respond"]
    message: str


Decision = Approve | Edit | Reject | Respond
"""What a person decides about a call, in the form of LangChain's human-in-the-loop convention."""


class Waiting(TypedDict):
    """A call that waits for a person's approval, or has it."""

    task: int
    element: int | None
    tool: str
    arguments: dict[str, Any]
    """As resolved, for people: JSON. A decision is about this call only."""

    description: str
    """What a person is told: what the tool does, with which arguments, why it is asked, and what was seen of them."""

    decision: Decision | None


class PausedPlan(TypedDict):
    """A plan of which nothing more can run without an approval."""

    plan: AIMessage
    waiting: list[Waiting]

    decided: NotRequired[list[Waiting]]
    """What was decided about at earlier pauses; of these, calls that wait for others are still to be made."""


class Conversation(TypedDict):
    """What the graph takes and gives."""

    messages: Annotated[list[AnyMessage], MessagesChannel(_messages_delta_reducer)]
    """As in LangGraph's `MessagesState`, but a checkpointer saves what each step adds, and seldom the whole. LangGraph
    knows the reducer, and gives messages their ids before they are saved."""


class StructuredOutput(Conversation, total=False):
    """What a graph with a `response_format` gives."""

    structured_response: Any


class State(Conversation, total=False):
    """The conversation is the state: questions, plans (an `AIMessage` with tool calls), observations (a `ToolMessage`
    for each call) and answers."""

    structured_response: Any
    """The last answer in the form of `response_format`, if there is one: an instance of the model, or a dict."""

    plan: Annotated[AIMessage, EphemeralValue]
    """The plan that the planner has just finished; gone after the next superstep."""

    own: list[str]
    """The fingerprints of the messages that this agent wrote from nothing but trusted words: see
    `agent.conversation.provenance`."""

    alone: Annotated[bool, EphemeralValue]
    """Whether the executor found no planner beside it in the superstep before."""

    paused: Annotated[PausedPlan, EphemeralValue]
    """The rest of a plan that waits for approval, on its way to the `approval` node and back."""

    answer: Annotated[str, EphemeralValue]
    """The answer as the plan gives it, with references, for the joiner; gone after the next superstep."""

    answered: Annotated[bool, EphemeralValue]
    """Whether that answer was shown while it was written, and is in the conversation."""

    empty: Annotated[bool, EphemeralValue]
    """Whether another plan was asked for and has no calls, for the joiner; gone after the next superstep."""

    feedback: Annotated[str, EphemeralValue]
    """What the joiner found missing, for the planner; gone after the next superstep."""


class Node(Protocol):
    """A node of this graph."""

    def __call__(self, state: State, runtime: Runtime[Context]) -> Awaitable[Any]: ...
