"""The offline model's stand-in for tool calling, so that the ReAct baselines run without a key.

The offline model can't call tools, but it can plan. The stand-in has it plan, and makes the plan's calls as a model
would that decides on one after the other: with results in the place of references, and one at a time unless several are
allowed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool

from agent.conversation.messages import NOTED_OF_TASKS, call_id, key_of, map_sizes, observations, this_turn
from agent.language.parser import PlanParser
from agent.language.plan import Plan
from agent.language.references import substitute
from agent.language.tasks import Call, Element, Key
from agent.prompts import joiner_prompt, planner_prompt
from agent.tooling.describe import describe, signature_of
from graphs.offline.model import OfflineChatModel, Replan, speak
from graphs.offline.prompt import read_value


class OfflineReactModel(BaseChatModel):
    """The offline model, as one that calls tools."""

    planner: OfflineChatModel
    tools: tuple[BaseTool, ...] = ()
    parallel: bool = True

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], *, parallel_tool_calls: bool = True, **_: Any) -> Any:
        return self.model_copy(update={"tools": tuple(tools), "parallel": parallel_tool_calls})

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        text, calls = self._next(cast("list[AnyMessage]", [one for one in messages if one.type != "system"]))
        yield from speak(messages, text, calls if self.parallel else calls[:1], delay=self.planner.delay)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages))

    def _next(self, messages: Sequence[AnyMessage]) -> tuple[str, list[ToolCallChunk]]:
        """The answer, or the calls that can be made. Each time, all that led here is planned and joined again."""
        messages = [_as_plan(message) for message in messages]
        turn = this_turn(messages)
        known = before = list(messages[: len(messages) - len(turn)])
        feedback: str | None = None
        while True:
            plan = self._plan(known, feedback)
            if calls := _ready(plan, observations(messages)):
                return "", calls
            done = [*before, *(message for message in turn if _number(message) <= plan.last)]
            may_replan = len(done) > len(known)  # else nothing of the plan could be called, nor could be of the next
            prompt = joiner_prompt(done, tools=[tool.name for tool in self.tools] if may_replan else ())
            said = self.planner.reply(prompt, may_replan=may_replan)
            if not isinstance(said, Replan):
                return said, []
            known, feedback = done, said.feedback

    def _plan(self, messages: Sequence[AnyMessage], feedback: str | None) -> Plan:
        signatures = {tool.name: signature_of(tool) for tool in self.tools}
        earlier = observations(messages)
        plan = Plan(signatures, earlier={number for number, _ in earlier}, maps=map_sizes(earlier))
        parser = PlanParser(signatures)
        tools = [describe(tool) for tool in self.tools]
        prompt = planner_prompt(messages, tools=tools, examples="", feedback=feedback, next_number=plan.last + 1)
        text = str(self.planner.reply(prompt, may_replan=False))
        for item in (*parser.feed(text), *parser.close()):
            if isinstance(item, Call | Element):
                plan.add(item)
        return plan


def _ready(plan: Plan, results: Mapping[Key, ToolMessage]) -> list[ToolCallChunk]:
    """The calls of the plan that have not been made, and can be."""
    failed = {number for (number, _), result in results.items() if result.status == "error"}
    ready: list[ToolCallChunk] = []
    waiting = set()
    for task in filter(lambda task: task.is_call, plan.tasks):
        if task.error or failed & set(task.dependencies):
            failed.add(task.number)
        elif task.key not in results:
            waiting.add(task.number)
            if not waiting & set(task.dependencies):
                arguments = json.dumps(substitute(task.arguments, lambda reference: _value(reference.task, results)))
                ready.append(tool_call_chunk(name=task.tool, args=arguments, id=call_id(task.key), index=len(ready)))
    return ready


def _as_plan(message: AnyMessage) -> AnyMessage:
    """The calls of this model as an agent that plans would have written them."""
    if not isinstance(message, AIMessage) or not message.tool_calls:
        return message
    notes: dict[str, Any] = {"plan": "", **{name: {} for name in NOTED_OF_TASKS}}
    return message.model_copy(update={"response_metadata": notes})


def _number(message: AnyMessage) -> int:
    """The number of the task that a message is about."""
    calls = getattr(message, "tool_calls", None) or [{"id": getattr(message, "tool_call_id", None)}]
    number, _ = key_of(calls[0]["id"]) or (0, None)
    return number


def _value(number: int, results: Mapping[Key, ToolMessage]) -> Any:
    """What a task's reference stands for; for a map, a list."""
    texts = [(element, str(result.text)) for (task, element), result in results.items() if task == number]
    values = [read_value(text) for _, text in sorted(texts)]
    return values[0] if texts[0][0] is None else values
