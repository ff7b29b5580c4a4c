"""A prompt, taken apart: what the planner, the joiner or a tool of the agent asks the model."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage

from agent.language.values import UNREADABLE

RESULT = re.compile(
    r"^(\d+)(?:\[(\d+)\])?\. ([\w.-]+)\((.*?)\)(?: \[a person .*?\])? (->|failed:) ?(.*(?:\n  .*)*)", re.MULTILINE
)
"""As in `1[0]. search("K2") -> …` and `2. buy("A") [a person rejected it] failed: …`; further lines are indented."""


@dataclass(frozen=True)
class Result:
    """What came of a call."""

    number: int
    element: int | None
    tool: str
    arguments: str
    """As they are written."""

    text: str
    failed: bool

    @property
    def value(self) -> Any:
        """What the text stands for."""
        return read_value(self.text)


@dataclass
class Turn:
    """A question of the user's, and the results of the calls that were made for it."""

    question: str = ""
    results: list[Result] = field(default_factory=list)


@dataclass
class Prompt:
    """What the model is asked."""

    system: str
    turns: list[Turn]
    tools: dict[str, str]
    """What the planner is told of each tool, by name; for a joiner, the names of those that were called."""

    plans: bool
    """Whether a plan is wanted."""

    number: int = 1
    """The first free number of a task."""

    feedback: str = ""
    """What is still missing, on a replan."""

    @property
    def question(self) -> str:
        """The last one."""
        return self.turns[-1].question

    @property
    def results(self) -> list[Result]:
        """The results for the last question that succeeded."""
        return [result for result in self.turns[-1].results if not result.failed]

    @property
    def failures(self) -> list[Result]:
        """The results for the last question that failed."""
        return [result for result in self.turns[-1].results if result.failed]


def read_prompt(messages: Sequence[BaseMessage]) -> Prompt:
    """The parts of a prompt."""
    system = "\n\n".join(_text(message) for message in messages if message.type == "system")
    turns = [Turn()]
    prompt = Prompt(system, turns, tools={}, plans=False)
    for message in messages:
        if message.type == "human":
            if turns[-1].question or turns[-1].results:
                turns.append(Turn())
            for paragraph in re.split(r"\n{2,}", _text(message)):
                _read_paragraph(paragraph, prompt)
    if block := re.search(r"^Tools:\n(.+?)(?:\n\n|\Z)", system, re.MULTILINE | re.DOTALL):
        prompt.plans = True
        prompt.tools = dict(re.findall(r"^([\w.-]+)(\(.*)", block[1], re.MULTILINE))
    else:
        prompt.tools = {result.tool: "" for result in turns[-1].results}
    return prompt


def _read_paragraph(paragraph: str, prompt: Prompt) -> None:
    turn = prompt.turns[-1]
    number = re.search(r"^Plan .*?from number (\d+) on", paragraph, re.MULTILINE)
    feedback = re.match(r"Still missing: (.*?)(?:\nPlan only.*)?\Z", paragraph, re.DOTALL)
    if number:
        prompt.number = int(number[1])
    if feedback:
        prompt.feedback = feedback[1]
    elif paragraph.startswith("Results (data"):
        for task, element, tool, arguments, mark, text in RESULT.findall(paragraph):
            number_in_map = int(element) if element else None
            turn.results.append(Result(int(task), number_in_map, tool, arguments, text, failed=mark != "->"))
    elif not number:
        turn.question = f"{turn.question}\n\n{paragraph}".strip()


def _text(message: BaseMessage) -> str:
    """The text of a message; blocks that stand one after the other are paragraphs of it."""
    if isinstance(message.content, str):
        return message.content
    blocks = [block if isinstance(block, str) else str(block.get("text", "")) for block in message.content]
    return "\n\n".join(block for block in blocks if block)


def read_value(text: str) -> Any:
    """What a result's text stands for: JSON, or the text itself."""
    with suppress(*UNREADABLE):
        return json.loads(text)
    return text
