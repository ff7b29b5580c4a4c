"""The chat model: reads the prompt, and streams what there is to say."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, ToolCallChunk, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool

from graphs.offline.figures import solve
from graphs.offline.plan import CANNOT, answer, write_plan
from graphs.offline.prompt import Prompt, read_prompt
from tools.demo_latency import until_first_token

TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")


@dataclass(frozen=True)
class Replan:
    """The joiner wants another plan."""

    feedback: str


@dataclass(frozen=True)
class Rules:
    """How questions are answered with some tools."""

    plan: Callable[[Prompt], str]
    """The plan, as it is written."""

    join: Callable[[Prompt], str | Replan]
    """The answer from the results."""


def _solve(human: str) -> str:
    problem, *context = re.split(r"(?m)^\d+\. ", human)
    return solve(problem.partition("\nContext:")[0].removeprefix("Problem:").strip(), context)


DEFAULT = Rules(write_plan, answer)

RULES: dict[str, Rules] = {}
"""The rules of examples, by the name of a tool that no other has."""

REPLIES: dict[str, Callable[[str], str]] = {"Write one arithmetic expression": _solve}
"""What is said to what tools ask, by how their system message begins."""


class OfflineChatModel(BaseChatModel):
    """The rule-based demo model: streams plans, answers and expressions token by token."""

    delay: float = 0.012
    """Seconds between tokens."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        """The model, which may call the joiner's `replan`; with tools of an agent, one that calls them in a loop."""
        if all(isinstance(tool, BaseTool) for tool in tools):
            from graphs.offline.react import OfflineReactModel

            return OfflineReactModel(planner=self).bind_tools(tools, **options)
        return self.bind(tools=tools, **options)

    def _stream(self, messages: list[BaseMessage], *_: Any, **options: Any) -> Iterator[ChatGenerationChunk]:
        said = self.reply(messages, may_replan=bool(options.get("tools")))
        if isinstance(said, Replan):
            replan = tool_call_chunk(name="replan", args=json.dumps({"feedback": said.feedback}), id="replan", index=0)
            yield from speak(messages, "", [replan], delay=self.delay)
        else:
            yield from speak(messages, said, delay=self.delay)

    def _generate(self, messages: list[BaseMessage], *_: Any, **options: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages, **options))

    def reply(self, messages: Sequence[BaseMessage], *, may_replan: bool) -> str | Replan:
        """What it says to a prompt: a plan, an answer, or what a tool wants to know."""
        prompt = read_prompt(messages)
        for start, reply in REPLIES.items():
            if prompt.system.startswith(start):
                return reply(prompt.question)
        rules = next((rules for tool, rules in RULES.items() if tool in prompt.tools), DEFAULT)
        if prompt.plans:
            return rules.plan(prompt)
        said = rules.join(prompt) if prompt.turns[-1].results else CANNOT
        if isinstance(said, Replan) and not may_replan:
            return f"I am not done, and there may be no further plan. {said.feedback}"
        return said


def speak(
    messages: Sequence[BaseMessage], text: str, calls: Sequence[ToolCallChunk] = (), *, delay: float
) -> Iterator[ChatGenerationChunk]:
    """A reply as it streams: its text token by token, each after `delay` seconds, then its tool calls and its usage."""
    pieces = TOKEN.findall(text)
    silent = sum(len(TOKEN.findall(f"{call['name']}{call['args']}")) for call in calls)
    begun = time.monotonic() + until_first_token()
    for place, piece in enumerate(pieces, 1):
        time.sleep(max(0.0, begun + place * delay - time.monotonic()))  # as fast on a busy machine
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    time.sleep(delay * silent)
    read, written = sum(len(str(message.text)) // 4 for message in messages), len(pieces) + silent
    usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    last = AIMessageChunk(content="", tool_call_chunks=list(calls), usage_metadata=usage, chunk_position="last")
    yield ChatGenerationChunk(message=last)
