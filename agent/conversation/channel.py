"""The channel of the conversation: a checkpointer saves what each step adds to it, and seldom the whole."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from langchain_core.messages import AnyMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import PendingWrite
from pydantic import TypeAdapter


class MessagesChannel(DeltaChannel[list[AnyMessage]]):
    """LangGraph's channel of differences, for a reducer of messages.

    An Agent Server reads threads for its clients without making objects of what is saved. Messages come as dicts then,
    from which LangChain would make messages without `usage_metadata`.
    """

    @property
    def snapshot_frequency(self) -> int:
        """After how many additions the whole is saved: the longer it is, the seldomer, so that in the mean a turn saves
        no more in a long thread."""
        messages = len(self.value) if self.is_available() else 0
        return max(100, messages // 4)

    @snapshot_frequency.setter
    def snapshot_frequency(self, _: int) -> None:
        """LangGraph sets its own, which doesn't change."""

    def replay_writes(self, writes: Sequence[PendingWrite]) -> None:
        """Add what the steps after the last whole conversation added, the oldest first."""
        self.value = _as_messages(self.value)
        super().replay_writes([(task, channel, _as_messages(value)) for task, channel, value in writes])


def _as_messages(value: Any) -> Any:
    """The value with messages for dicts that are dumps of messages."""
    if isinstance(value, list):
        return [_as_messages(item) for item in value]
    return _messages().validate_python(value) if isinstance(value, dict) and "type" in value else value


@cache
def _messages() -> TypeAdapter[AnyMessage]:
    return TypeAdapter(AnyMessage)
