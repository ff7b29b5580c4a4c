"""Whose words a conversation has. The user's are trusted; those of web pages, mails and other agents aren't, and
neither is what was written with those in view.

Messages can't tell it themselves: a client that sends its history again could give them any marks. The thread keeps the
fingerprints of those that this agent wrote from nothing but trusted words, in a channel that the input doesn't reach.
All other messages, but the user's and the system's, may be anybody's.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.types import Command

from agent.conversation.messages import provider_name
from agent.language.values import digest, to_text
from agent.tooling.metadata import metadata_of

T = TypeVar("T", bound=BaseMessage)

asked_with: ContextVar[Sequence[BaseMessage]] = ContextVar("asked_with", default=())
"""What the present call was made from that may be someone else's words. An agent that runs in it, as a tool, is asked
with these, though its question looks like a user's."""


def words_of_others(messages: Iterable[T], own: Collection[str]) -> list[T]:
    """The messages that may say what someone else wants.

    Args:
        messages: A conversation.
        own: The fingerprints of messages that this agent wrote from nothing but trusted words.
    """
    said = [message for message in messages if not isinstance(message, HumanMessage | SystemMessage)]
    return [message for message in said if not own or _fingerprint(message) not in own] if said else []


def own_words(messages: Iterable[BaseMessage], own: Collection[str], new: Iterable[BaseMessage]) -> list[str]:
    """The fingerprints to keep: those of messages that are still there, and of new ones."""
    kept = [one for one in map(_fingerprint, messages) if one in own] if own else []
    return list(dict.fromkeys([*kept, *map(_fingerprint, new)]))


def as_own_words(node: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The node, with what it writes noted as the agent's own words if it has no one else's in view."""

    @wraps(node)
    async def noting(state: Mapping[str, Any], runtime: Any) -> Any:
        command = await node(state, runtime)
        if isinstance(command, Command) and isinstance(command.update, dict) and "messages" in command.update:
            own, written = state.get("own", ()), command.update["messages"]
            messages = [message for message in state["messages"] if not any(message is one for one in written)]
            new = () if words_of_others(messages, own) else written
            command.update["own"] = own_words(messages, own, new)
        return command

    return noting


def trusted_tools(tools: Mapping[str, BaseTool]) -> set[str]:
    """The tools whose results are nobody else's words, by the names in messages: a tool with side effects gives a
    receipt, and one may be marked with `metadata={"trusted": True}`."""
    trusted: dict[str, bool] = {}
    for tool in tools.values():
        metadata = metadata_of(tool)
        said = bool(metadata.side_effects) if metadata.trusted is None else metadata.trusted
        name = provider_name(tool.name)
        trusted[name] = said and trusted.get(name, True)
    return {name for name, is_trusted in trusted.items() if is_trusted}


def own_words_of_plan(
    messages: Sequence[BaseMessage], of_others: Sequence[BaseMessage], trusted: Collection[str]
) -> list[BaseMessage]:
    """What of a plan and its results is nobody else's words: a plan that was made from nothing else; results that are
    trusted; and why calls were not made, unless that tells of the results of others.

    Args:
        messages: The plan's message and the results'.
        of_others: What the plan was made from that may be someone else's words.
        trusted: The tool call ids of the results that are nobody else's words.
    """
    observations = [message for message in messages if isinstance(message, ToolMessage)]
    own = [observation for observation in observations if observation.tool_call_id in trusted]
    made = [observation for observation in observations if "started" in observation.response_metadata]
    if not of_others and all(observation.tool_call_id in trusted for observation in made):
        own = observations
    return [*(() if of_others else messages[:1]), *own]


def is_trusted(observation: ToolMessage, tools: Collection[str]) -> bool:
    """Whether a result is of one of these tools, or a person gave it. A receipt may repeat what its tool was given."""
    notes = observation.response_metadata
    return (observation.name in tools and not notes.get("repeats")) or notes.get("decision") == "respond"


def sources_of(messages: Sequence[BaseMessage]) -> str:
    """Where these messages come from, for people."""
    tools = dict.fromkeys(str(message.name or "a tool") for message in messages if isinstance(message, ToolMessage))
    sources = [f"results of {', '.join(tools)}"] if tools else []
    if any(not isinstance(message, ToolMessage) for message in messages):
        sources.append("messages that were written from such results or by others")
    return " and ".join(sources)


def _fingerprint(message: BaseMessage) -> str:
    calls = (
        [[call["id"], call["name"], call["args"]] for call in message.tool_calls]
        if isinstance(message, AIMessage)
        else []
    )
    about = [message.tool_call_id, message.status] if isinstance(message, ToolMessage) else []
    return digest(json.dumps([message.type, to_text(message.content), calls, about], sort_keys=True, default=str))
