"""The planner node: one model call that streams a plan, task by task, to the executor beside it."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any, Literal, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.constants import TAG_NOSTREAM
from langgraph.func import task as durable
from langgraph.runtime import Runtime

from agent.context import Context
from agent.conversation.messages import map_sizes, observations, plan_message, plans_made
from agent.conversation.view import in_view
from agent.events import Progress
from agent.handover import Handover
from agent.language.parser import Item, PlanParser
from agent.language.plan import Plan
from agent.language.tasks import Call, Element, Join
from agent.models import ModelError, Models, overflow_told
from agent.planner.function_calls import ToolCallReader, planning_tools
from agent.prompts import planner_prompt
from agent.state import Node, State
from agent.tooling.describe import describe, signature_of
from agent.tooling.secrets import secrets_hidden

CALL_CONFIG: RunnableConfig = {"run_name": "plan", "tags": [TAG_NOSTREAM]}
PlannerProtocol = Literal["text", "tools"]
"""How the model writes its plan: in the plan language, or as tool calls."""

MARKED = "anthropic"
"""The provider that caches only what is marked; the others do so by themselves."""

NO_CALLS = (
    'The model {model} calls no tools, and planner_protocol="tools" has it plan by calling them. Leave it at "text".'
)

USAGE_TIMEOUT = 0.05
"""Seconds that the tokens used are waited for when the tools are done; they follow the plan's last words at once."""

CLOSING_TIMEOUT = 5.0
"""Seconds that a stream which is at its end has to close after that, beside the run. Cancelled while it closes, the
HTTP client would never give its place in the pool of connections back."""

_CLOSING = re.compile(r"[\s`]*(?:</?[A-Z_]*>?)?[\s`]*")
"""What may follow the join without the model having gone on talking."""


def make_planner(
    tools: Mapping[str, BaseTool],
    models: Models,
    examples: str,
    protocol: PlannerProtocol = "text",
    system_prompt: str = "",
) -> Node:
    """The planner node for these tools.

    1. Prompt the model with the tools, the conversation, and on a replan what is missing.
    2. Parse its text as it arrives, and send each task to the executor beside this node.
    3. Stop reading at `join()`; leave the finished plan in the state.

    The model call is saved when it ends: resumed after a crash, the same plan comes back and is not paid for again.
    """
    descriptions = [describe(tool) for tool in tools.values()]
    functions = planning_tools(tools.values()) if protocol == "tools" else None
    signatures = {name: signature_of(tool) for name, tool in tools.items()}

    async def planner(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
        context = Context.of(runtime.context)
        progress = Progress.of(runtime)
        messages = state["messages"]
        handover = Handover.of(runtime)
        with handover.planning():
            model = await models.planner(context)
            earlier = observations(messages)
            plan = Plan(signatures, [number for number, _ in earlier], maps=map_sizes(earlier), most=context.max_tasks)
            round_ = plans_made(messages)
            feedback = state.get("feedback") if round_ else None
            prompt = planner_prompt(
                in_view(
                    messages,
                    system_prompt=context.system_prompt or system_prompt,
                    most_tokens=context.max_prompt_tokens,
                ),
                tools=descriptions,
                examples=examples,
                feedback=feedback,
                next_number=plan.last + 1,
                mark_stable=model._llm_type.startswith(MARKED),
                by_calls=functions is not None,
            )
            reader = ToolCallReader(plan.last + 1, signatures) if functions else TextReader(signatures)
            writer = _bound(model, functions) if functions else model

            @durable
            async def write_plan() -> AIMessage:
                with secrets_hidden(), overflow_told():
                    return await stream_plan(writer, prompt, reader, plan, handover, progress, note=feedback or "")

            progress.tell("plan_started", round=round_)
            message = await write_plan()
            progress.tell("plan_finished", round=round_, tasks=len(message.tool_calls))
            handover.finish(message)
            await handover.drained()
        return {"plan": message}

    return planner


def _bound(model: BaseChatModel, functions: list[dict[str, Any]]) -> Runnable[LanguageModelInput, BaseMessage]:
    try:
        return model.bind_tools(functions, tool_choice="any")
    except NotImplementedError:
        raise ModelError(NO_CALLS.format(model=type(model).__name__)) from None


class TextReader(PlanParser):
    """Reads one plan from the chunks of a model's turn, as `ToolCallReader` does from its tool calls."""

    def read(self, chunk: AIMessageChunk) -> tuple[str, list[Item]]:
        """What a chunk adds to the plan: its text, and the items that it completes."""
        text = str(chunk.text)
        return text, self.feed(text)


async def stream_plan(
    model: Runnable[LanguageModelInput, BaseMessage],
    prompt: list[BaseMessage],
    reader: "TextReader | ToolCallReader",
    plan: Plan,
    handover: Handover,
    progress: Progress,
    *,
    note: str,
) -> AIMessage:
    """Have the model write the plan, and send its tasks to the executor while it does.

    Args:
        model: The chat model; its text may come as strings or as lists of blocks.
        prompt: Its prompt.
        reader: Reads what it writes.
        plan: Grows with each call that the model writes.
        handover: Where the tasks go.
        progress: Is told the text.
        note: Why there is a further plan, if it is not the turn's first.
    """
    text: list[str] = []
    usage: UsageMetadata | None = None

    def take(items: Iterable[Item]) -> bool:
        """Whether the plan goes on after these items."""
        for item in items:
            if isinstance(item, Join):
                plan.end(item)
                return False
            if isinstance(item, Call | Element):
                for task in plan.extend(item):
                    handover.send(task)
                if plan.full:
                    return False
        return True

    chunks = cast("AsyncGenerator[AIMessageChunk]", model.astream(prompt, CALL_CONFIG))
    async with AsyncExitStack() as at_the_end:
        await at_the_end.enter_async_context(aclosing(chunks))
        async for chunk in chunks:
            usage = _add(usage, chunk)
            written, items = reader.read(chunk)
            text.append(written)
            if written:
                progress.tell("plan_text", text=written)
            if not take(items) or reader.ended:
                handover.end(plan.last)
                if reader.ended:
                    at_the_end.pop_all()
                    usage = await _read_usage(chunks, usage, handover)
                break
        else:
            take(reader.close())
            handover.end(plan.last)
    return plan_message(plan, text="".join(text), note=note, usage=usage)


async def _read_usage(
    chunks: AsyncGenerator[AIMessageChunk], usage: UsageMetadata | None, handover: Handover
) -> UsageMetadata | None:
    """The tokens used, which models report last: read on, but not if the model goes on talking. When the tools are
    done, nothing waits for the model any more; its stream is closed in any case."""

    async def read() -> None:
        nonlocal usage
        rest = ""
        with suppress(Exception):  # the plan is there: nobody is to be told
            async with aclosing(chunks):
                async for chunk in chunks:
                    usage = _add(usage, chunk)
                    rest += str(chunk.text)
                    if not _CLOSING.fullmatch(rest):
                        return

    reading, draining = asyncio.create_task(read()), asyncio.create_task(handover.done())
    try:
        await asyncio.wait([reading, draining], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([reading], timeout=USAGE_TIMEOUT)
    except asyncio.CancelledError:
        reading.cancel()
        await asyncio.wait([reading])
        raise
    finally:
        draining.cancel()
        give_up = asyncio.get_running_loop().call_later(CLOSING_TIMEOUT, reading.cancel)
        reading.add_done_callback(lambda _: give_up.cancel())
    return usage


def _add(usage: UsageMetadata | None, chunk: AIMessageChunk) -> UsageMetadata | None:
    return add_usage(usage, chunk.usage_metadata) if chunk.usage_metadata else usage
