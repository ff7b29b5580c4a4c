"""What LangGraph's `messages` streams, which chat UIs read, show before it is in the state.

There are two kinds of them. `stream_mode="messages"` has messages, and pieces of messages, which clients put together
by their id. The event stream, version 3, has the events of a protocol; it has tools in a channel of their own.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, RemoveMessage, ToolCall
from langchain_core.messages.tool import tool_call_chunk
from langgraph.config import get_config
from langgraph.pregel._messages import StreamMessagesHandler, StreamMessagesHandlerV2, graph_namespace


@dataclass(frozen=True)
class MessageStream:
    """The `messages` streams by which a node's run is followed."""

    handlers: Sequence[StreamMessagesHandler] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    """What they say of a message beside it: whose it is."""

    @classmethod
    def here(cls) -> Self:
        """Those of the node that this is called in."""
        config = get_config()
        callbacks, metadata = config.get("callbacks"), dict(config.get("metadata") or {})
        found = callbacks if isinstance(callbacks, list) else getattr(callbacks, "handlers", ())
        handlers = [handler for handler in found if isinstance(handler, StreamMessagesHandler)]
        if handlers and (namespace := graph_namespace(metadata)):
            handlers = [one for one in handlers if one.subgraphs or one.parent_ns == namespace]
        return cls(handlers, metadata)

    def of(self, node: str) -> Self:
        """The same, for messages that are another node's."""
        return replace(self, metadata={**self.metadata, "langgraph_node": node})

    def show(self, message: BaseMessage) -> None:
        """Show a message, or a piece of one, that has an id."""
        for handler in self.handlers:
            if not isinstance(handler, StreamMessagesHandlerV2):
                self._send(handler, message.id, (message, self.metadata))

    def tell(self, id: str, event: dict[str, Any]) -> None:
        """Send an event of the protocol, about the message with this id."""
        for handler in self.handlers:
            if isinstance(handler, StreamMessagesHandlerV2):
                self._send(handler, id, (event, {**self.metadata, "run_id": id}))

    def hide(self, id: str | None) -> None:
        """Have a message not shown when a node returns it."""
        for handler in self.handlers:
            handler.seen.add(id or "")

    def _send(self, handler: StreamMessagesHandler, id: str | None, payload: Any) -> None:
        handler.seen.add(id or "")
        handler.stream((graph_namespace(self.metadata), "messages", payload))


class StreamedMessage:
    """A message of the agent's that is shown while it is written."""

    def __init__(self, stream: MessageStream, id: str) -> None:
        """
        Args:
            stream: Where it is shown.
            id: That which it has in the state.
        """
        self.id = id
        self.text = ""
        """What is shown of its text."""

        self.calls = 0
        """How many of its tool calls are shown."""

        self._stream = stream
        self._begun = False
        self._blocks = 0
        self._block = ""

    def add(self, text: str) -> None:
        """Show more of its text."""
        if text:
            self._add(text)
            self._stream.show(AIMessageChunk(content=text, id=self.id))

    def add_call(self, call: ToolCall, *, behind: str = "") -> None:
        """Show a tool call, and the text that stands before it."""
        self._add(behind)
        self._end_block()
        name, id_, args = call["name"], call["id"], json.dumps(call["args"])
        opening = {"type": "tool_call_chunk", "id": id_, "name": name, "args": "", "index": self.calls}
        self._tell("content-block-start", index=self._blocks, content=opening)
        self._tell("content-block-delta", index=self._blocks, delta={"type": "tool-call-delta", "args": args})
        whole = {"type": "tool_call", "id": id_, "name": name, "args": call["args"]}
        self._tell("content-block-finish", index=self._blocks, content=whole)
        self._blocks += 1
        piece = tool_call_chunk(name=name, args=args, id=id_, index=self.calls)
        self.calls += 1
        self._stream.show(AIMessageChunk(content=behind, id=self.id, tool_call_chunks=[piece]))

    def add_calls(self, message: AIMessage) -> None:
        """Show a message with tool calls, all of it."""
        for call in message.tool_calls:
            self.add_call(call, behind="" if self.calls else str(message.text))
        self.finish()

    def finish(self, text: str | None = None) -> None:
        """Show what is missing of it; all of it anew, if it turned out to be another text.

        Args:
            text: The whole text, if more of it may be missing.
        """
        if text is not None:
            if not text.startswith(self.text):
                self.take_back()
            self.add(text.removeprefix(self.text))
        if self._begun:
            self._end_block()
            self._tell("message-finish")
            self._begun = False

    def take_back(self) -> None:
        """Have it shown no more. It may be begun anew."""
        if not self._begun:
            return
        self._stream.show(RemoveMessage(self.id))
        self._tell("message-start", role="ai", id=self.id)  # the protocol has no other way
        self._tell("message-finish")
        self._begun, self.text, self.calls, self._blocks, self._block = False, "", 0, 0, ""

    def _add(self, text: str) -> None:
        if not self._begun:
            self._begun = True
            self._tell("message-start", role="ai", id=self.id)
        if text and not self._block:
            self._tell("content-block-start", index=self._blocks, content={"type": "text", "text": ""})
        if text:
            self._tell("content-block-delta", index=self._blocks, delta={"type": "text-delta", "text": text})
            self._block += text
            self.text += text

    def _end_block(self) -> None:
        if self._block:
            self._tell("content-block-finish", index=self._blocks, content={"type": "text", "text": self._block})
            self._blocks, self._block = self._blocks + 1, ""

    def _tell(self, event: str, **about: Any) -> None:
        self._stream.tell(self.id, {"event": event, **about})
