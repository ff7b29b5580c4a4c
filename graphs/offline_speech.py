"""How the offline models that stand in for hosted ones say something: token by token, and with tool calls."""

import re
import time
from collections.abc import Iterator, Sequence

from langchain_core.messages import AIMessageChunk, BaseMessage, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import ChatGenerationChunk

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
