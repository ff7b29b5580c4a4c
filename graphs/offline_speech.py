"""How the offline models that stand in for hosted ones say something: token by token, and with tool calls."""

import re
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")


def speak(
    messages: Sequence[BaseMessage], text: str, calls: Sequence[ToolCallChunk] = (), *, delay: float
) -> Iterator[ChatGenerationChunk]:
    """A reply as it streams: its text token by token, then its tool calls.

    Args:
        messages: What is replied to.
        text: What is said.
        calls: The tool calls.
        delay: Seconds for a token.
    """
    pieces = _TOKEN.findall(text)
    silent = sum(len(_TOKEN.findall(f"{call['name']}{call['args']}")) for call in calls)
    for piece in pieces:
        time.sleep(delay)
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    time.sleep(delay * silent)
    read, written = sum(len(str(message.text)) // 4 for message in messages), len(pieces) + silent
    usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    last = AIMessageChunk(content="", tool_call_chunks=list(calls), usage_metadata=usage, chunk_position="last")
    yield ChatGenerationChunk(message=last)


class SpeakingModel(BaseChatModel):
    """A chat model that says what its `reply` returns, token by token."""

    delay: float = 0.012
    """Seconds between tokens."""

    @abstractmethod
    def reply(self, messages: Sequence[BaseMessage]) -> str:
        """What it says to a prompt."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        yield from speak(messages, self.reply(messages), delay=self.delay)

    def _generate(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages, **kwargs))
