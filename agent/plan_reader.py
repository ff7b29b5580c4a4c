"""How a model's turn is read as a plan while it streams."""

from collections.abc import Collection
from typing import Protocol

from langchain_core.messages import AIMessageChunk

from agent.parser import Item, PlanParser


class PlanReader(Protocol):
    """Reads a plan from a model's turn."""

    @property
    def ended(self) -> bool:
        """Whether the plan has said its end."""

    def read(self, chunk: AIMessageChunk) -> tuple[str, list[Item]]:
        """What a chunk adds to the plan: its text, and the items that it completes."""

    def close(self) -> list[Item]:
        """The items that the end of the turn completes."""


class TextReader:
    """Reads one plan from the text of a model's turn."""

    def __init__(self, tools: Collection[str]) -> None:
        """
        Args:
            tools: As `PlanParser` takes them.
        """
        self._parser = PlanParser(tools)

    @property
    def ended(self) -> bool:
        """Whether the plan has said its end."""
        return self._parser.ended

    def read(self, chunk: AIMessageChunk) -> tuple[str, list[Item]]:
        """What a chunk adds to the plan: its text, and the items that it completes."""
        text = str(chunk.text)
        return text, self._parser.feed(text)

    def close(self) -> list[Item]:
        """The items that the end of the turn completes."""
        return self._parser.close()
