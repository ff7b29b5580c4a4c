"""The joiner's reply, shown while the model writes it."""

import re
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import TAG_NOSTREAM

from agent.shown import MessageStream, Shown

CONFIG: RunnableConfig = {"run_name": "join", "tags": [TAG_NOSTREAM]}
"""LangGraph would show all of the reply, a call of `replan` as well, and an answer that is for a program."""

_PLAIN = re.compile(
    r"[^\w<\[{`|]*(?!(?:thought|action|answer|final|replan|finish|functions)\b)\w+(?=[^\w(])", re.IGNORECASE
)
"""How an answer begins that is no form of words, in which it would stand somewhere."""


class Reply:
    """One reply of the model, of which is shown what is the answer; or what it says before it asks for another plan."""

    def __init__(self, stream: MessageStream, *, shows: bool) -> None:
        """
        Args:
            stream: Where it is shown.
            shows: Whether its text is sure to be no thought.
        """
        self._shows = shows and bool(stream.handlers)
        self._shown = Shown(stream, f"answer-{uuid4()}")
        self._text = ""

    async def ask(
        self, model: Runnable[LanguageModelInput, BaseMessage], prompt: list[BaseMessage], *, quietly: bool = False
    ) -> AIMessage:
        """The model's reply to this prompt.

        Args:
            model: The chat model.
            prompt: The prompt.
            quietly: Whether it is asked for a form of words, which is not shown.
        """
        if quietly or not self._shows:
            return cast("AIMessage", await model.ainvoke(prompt, CONFIG))
        chunks: list[Any] = []
        async with aclosing(cast("Any", model.astream(prompt, CONFIG))) as stream:
            async for chunk in stream:
                chunks.append(chunk)
                self._read(str(chunk.text))
        if not isinstance(chunks[0], AIMessageChunk):
            return cast("AIMessage", chunks[0])
        return cast("AIMessage", message_chunk_to_message(chunks[0] + chunks[1:]))

    def _read(self, text: str) -> None:
        self._text += text
        if self._shown.text or _PLAIN.match(self._text):
            self._shown.add(self._text[len(self._shown.text) :])

    def finish(self, message: AIMessage) -> AIMessage:
        """The message that the reply is, all of it shown."""
        if not self._shown.text:
            return message  # LangGraph shows what a node returns
        self._shown.finish(str(message.text))
        return message.model_copy(update={"id": self._shown.id})

    def take_back(self) -> None:
        """The reply is no message."""
        self._shown.take_back()
