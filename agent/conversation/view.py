"""What of a conversation goes into prompts."""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage, ToolMessage, trim_messages
from langchain_core.messages.utils import count_tokens_approximately

from agent.conversation.messages import this_turn
from agent.conversation.transcript import EARLIER_CHARS


def in_view(messages: Sequence[AnyMessage], *, system_prompt: str, most_tokens: int | None) -> Sequence[AnyMessage]:
    """The system prompt and the conversation; if that is too long, without its oldest turns. The present turn is always
    there, whole.

    Args:
        messages: The conversation.
        system_prompt: What the agent's user wants models told, or nothing.
        most_tokens: How many tokens of the conversation there may be, about; None for all of it.
    """
    shown = list(messages)
    if most_tokens is not None:
        start = max(len(messages) - len(this_turn(messages)) - 1, 0)
        room = most_tokens - count_tokens_approximately(messages[start:])
        system = [message for message in messages[:start] if isinstance(message, SystemMessage)]
        talk = [message for message in messages[:start] if not isinstance(message, SystemMessage)]
        earlier = trim_messages(talk, max_tokens=max(room, 0), token_counter=_tokens_as_shown, start_on="human")
        shown = [*system, *earlier, *messages[start:]]  # type: ignore[list-item]  # messages as they were
    return [SystemMessage(system_prompt), *shown] if system_prompt.strip() else shown


def _tokens_as_shown(message: BaseMessage) -> int:
    """About, in a later turn: plans are not shown, and results are cut."""
    if isinstance(message, AIMessage) and message.tool_calls:
        return 0
    if isinstance(message, ToolMessage):
        message = AIMessage(message.text[:EARLIER_CHARS])
    return count_tokens_approximately([message])
