"""The planner node: one model call that streams a plan, task by task, to the executor beside it."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing, nullcontext
from dataclasses import replace
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
from agent.conversation.messages import (
    call_of,
    map_sizes,
    observations,
    plan_message,
    replans_made,
)
from agent.conversation.transcript import in_view
from agent.events import Progress
from agent.handover import Handover
from agent.language.conditions import condition_error, is_left_over, may_be_conditional
from agent.language.parser import Item, PlanParser
from agent.language.plan import Plan
from agent.language.reasoning import THOUGHT, Thoughts
from agent.language.tasks import Call, Element, Join, Signature, Task, Thought
from agent.models import Models, overflow_told
from agent.planner.function_calls import ToolCallReader
from agent.planner.functions import Functions
from agent.planner.grammar import plan_grammar, refusal_told, text_of
from agent.prompts import planner_prompt
from agent.servers.any_server import known_of
from agent.servers.errors import ModelError
from agent.state import Node, State
from agent.streaming import StreamedMessage
from agent.tooling.describe import describe, signature_of

CALL_CONFIG: RunnableConfig = {"run_name": "plan", "tags": [TAG_NOSTREAM]}
PlannerProtocol = Literal["text", "tools", "grammar"]
"""How the model writes its plan: in the plan language, as tool calls, or in the plan language since its server lets it
write nothing else."""

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

TOLD_EVERY = 0.1
"""Seconds from one event with the plan's text to the next while a call is being written. A model writes a token in
less, and each event goes all the way to whoever follows the run."""

MOST_TALK = 5_000
"""Characters behind a plan's end that are read to see whether it was only thought of."""

SILENCE = 0.5
"""Seconds without a word after which a plan that has ended stands, although its stream is open."""

_MARKED_THOUGHT = re.compile(rf"[\s*_\d.)]*{THOUGHT}", re.IGNORECASE)
_ANY_MARK = re.compile(r"</?[\w|｜]{1,40}>?")
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
    functions = Functions(tools.values()) if protocol == "tools" else None
    grammar = plan_grammar(tools.values()) if protocol == "grammar" else None
    signatures = {name: signature_of(tool) for name, tool in tools.items()}

    async def planner(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
        context = Context.of(runtime.context)
        progress = Progress.of(runtime)
        messages = state["messages"]
        handover = Handover.of(runtime)
        with handover.planning():
            model = await models.planner(context)
            earlier = observations(messages)
            taken, sizes = [number for number, _ in earlier], map_sizes(earlier)
            first = max(taken, default=0) + 1
            feedback = state.get("feedback", "")
            round_ = replans_made(messages) + bool(feedback)
            prompt = planner_prompt(
                in_view(
                    messages,
                    system_prompt=context.system_prompt or system_prompt,
                    most_tokens=context.max_prompt_tokens,
                ),
                tools=descriptions,
                examples=examples,
                feedback=feedback,
                next_number=first,
                mark_stable=model._llm_type.startswith(MARKED),
                by_calls=functions is not None,
            )
            certain = known_of(model).begins_in_thought is not None
            reader = ToolCallReader(first, functions) if functions else TextReader(signatures, certain=certain)
            writer: Runnable[LanguageModelInput, BaseMessage] = model
            if functions:
                writer = _bound(model, functions)
            elif grammar:
                writer = grammar.bind(model, context.grammar_dialect, context.max_tasks)

            @durable
            async def write_plan() -> AIMessage:
                with overflow_told(), refusal_told(context.grammar_dialect) if grammar else nullcontext():
                    planning = Planning(
                        lambda: Plan(signatures, taken, maps=sizes, most=context.max_tasks),
                        reader,
                        handover,
                        progress,
                        round=round_,
                        feedback=feedback,
                    )
                    return await planning.run(writer, prompt)

            progress.tell("plan_started", round=round_)
            message = await write_plan()
            progress.tell("plan_finished", round=round_, tasks=len(message.tool_calls))
            if not message.tool_calls:
                progress.messages.hide(message.id)  # also if it was saved before a crash
            handover.finish(message)
            await handover.drained()
        return {"plan": message}

    return planner


def _bound(model: BaseChatModel, functions: Functions) -> Runnable[LanguageModelInput, BaseMessage]:
    try:
        return model.bind_tools(functions.specifications, tool_choice="any")
    except NotImplementedError:
        raise ModelError(NO_CALLS.format(model=type(model).__name__)) from None


class TextReader:
    """Reads one plan from the text of a model's turn, as `ToolCallReader` does from its tool calls."""

    def __init__(self, signatures: Mapping[str, Signature], *, certain: bool) -> None:
        """
        Args:
            signatures: Those of the tools, by their names.
            certain: Whether it is known of the model where its thoughts begin.
        """
        self._signatures = signatures
        self._certain = certain
        self._thoughts = Thoughts()
        self._parser = PlanParser(signatures)

    @property
    def ended(self) -> bool:
        """Whether the plan has said its end."""
        return self._parser.ended

    @property
    def certain(self) -> bool:
        """Whether what has been read stands: a thought that only its end is marked of would make nothing of it."""
        return self._certain or self._thoughts.opened or self._thoughts.begins_inside

    @property
    def rest(self) -> str:
        """What has come behind the plan's end."""
        return self._parser.rest

    @property
    def join(self) -> Join | None:
        """The end of the plan that is being read, with its answer as far as there is of it."""
        return self._parser.join

    def read(self, chunk: AIMessage) -> tuple[str, list[Item], bool]:
        """What a chunk adds to the plan: its text, and the items that it completes; and whether the plan begins anew
        with it."""
        text, anew = self._thoughts.feed(text_of(chunk))
        if anew:
            self._parser = PlanParser(self._signatures)
        return text, self._parser.feed(text), anew

    def close(self) -> list[Item]:
        """The items that the end of the turn completes."""
        return [*self._parser.feed(self._thoughts.close()), *self._parser.close()]


class Planning:
    """One plan, from the model's words to the executor.

    A plan that the model only thought of must not be carried out, and of some models only the end of a thought is
    marked. Until it is certain that the model is none of these, its calls and its answer are held back if it begins
    with prose, as thoughts do, and so are calls that change something, with all that is written after them. Those that
    the plan ends with are held until nothing more comes, in which their condition may be. If a plan turns out to have
    been a thought, what runs of it is dropped, what was shown of it is taken back, and the executor works from the
    finished plan.
    """

    def __init__(
        self,
        new_plan: Callable[[], Plan],
        reader: TextReader | ToolCallReader,
        handover: Handover,
        progress: Progress,
        *,
        round: int,
        feedback: str,
    ) -> None:
        """
        Args:
            new_plan: Makes the plan, which grows with each call that the model writes.
            reader: Reads what the model writes.
            handover: Where the tasks go.
            progress: Is told the text.
            round: Which of the turn's plans it is, from 0.
            feedback: Why there is a further plan, if it is not the turn's first.
        """
        self._new_plan = new_plan
        self._reader = reader
        self._handover = handover
        self._progress = progress
        self._round = round
        self._usage: UsageMetadata | None = None
        self._feedback = feedback
        self._streamed = StreamedMessage(progress.messages, handover.plan_id)
        self._tell_at = 0.0
        """When text is told again, if no call ends before; of `time.monotonic`."""

        self._begin()

    def _begin(self) -> None:
        self._plan = self._new_plan()
        self._text: list[str] = []
        self._told = 0
        self._sent = 0
        self._holds = False
        self._holds_changes = False
        """Whether it holds back a call that changes something."""

        self._ended = False
        self._unread = False
        """Whether it has a line that may be meant as a call, and isn't one: its answer may tell of that."""

        self._talked = ""

    async def run(self, model: Runnable[LanguageModelInput, BaseMessage], prompt: list[BaseMessage]) -> AIMessage:
        """Have the model write the plan, and send its tasks to the executor while it does.

        Args:
            model: The chat model; its text may come as strings or as lists of blocks.
            prompt: Its prompt.
        """
        chunks = cast("AsyncGenerator[AIMessageChunk]", model.astream(prompt, CALL_CONFIG))
        try:
            await self._follow(chunks)
        except Exception:
            if not self._is_held:
                self._tell_text()
            raise
        if not self._ended:
            self._plan.answer = ""
            self._take(self._reader.close())
        self._release()
        if self._unread or is_left_over(self._talked.partition("\n")[0], changes=False):
            self._plan.answer = ""
        text = "".join(self._text)
        message = plan_message(
            self._plan, text=text, feedback=self._feedback, usage=self._usage, id=self._handover.plan_id
        )
        self._streamed.finish()
        if not self._streamed.calls:  # it has none, or is carried out from the state
            self._progress.messages.hide(message.id)
        return message

    async def _follow(self, chunks: AsyncGenerator[AIMessageChunk]) -> None:
        """Read what the model writes, to the end of the plan and as far behind it as matters."""
        async with AsyncExitStack() as at_the_end:
            await at_the_end.enter_async_context(aclosing(chunks))
            async for chunk in chunks:
                self._read(chunk)
                if self._ended:
                    if self._reader.ended:
                        at_the_end.pop_all()
                        await self._read_on(chunks)
                    break

    def _read(self, chunk: AIMessageChunk) -> None:
        if chunk.usage_metadata:
            self._usage = add_usage(self._usage, chunk.usage_metadata)
        written, items, anew = self._reader.read(chunk)
        if anew:
            self._handover.begin_anew()
            self._streamed.take_back()
            self._begin()
            self._progress.tell("plan_started", round=self._round, anew=True)
        if self._ended:
            self._talked += str(chunk.text)
            return
        self._text.append(written)
        self._take(items)
        self._ended = self._ended or self._reader.ended
        if self._ended:
            self._talked = self._reader.rest
        if not self._is_held:
            self._send()
        if not (self._is_held or self._ended or self._unread) and (join := self._reader.join):
            self._plan.end(join)
            self._handover.end(self._plan.last)
            self._handover.say(self._plan.answer)

    def _take(self, items: Iterable[Item]) -> None:
        for item in items:
            if self._ended:
                return
            match item:
                case Join():
                    self._plan.end(item)
                    self._ended = True
                case Thought(text, unread):
                    self._unread = self._unread or unread
                    self._holds = self._holds or not (self._plan.tasks or _MARKED_THOUGHT.match(text))
                case Call() | Element():
                    self._plan.add(item)
                    self._ended = self._plan.full

    @property
    def _is_held(self) -> bool:
        """Whether the plan is held back, from here on, since it may be a thought."""
        return self._holds and not self._reader.certain

    def _changes(self, task: Task) -> bool:
        tool = self._plan.tools.get(task.tool)
        return tool is not None and tool.changes

    def _send(self, *, stands: bool = False) -> None:
        """Send the tasks, and tell the text. Unless the plan stands, some are held back."""
        tasks = self._plan.tasks[self._sent :]
        if tasks or self._ended or stands or time.monotonic() >= self._tell_at:
            self._tell_text()
        for task in tasks:
            if self._changes(task) and not stands and (self._ended or not self._reader.certain):
                self._holds = self._holds_changes = True
                return
            self._handover.send(task)
            self._show(task)
            self._sent += 1
        if self._ended:
            self._handover.end(self._plan.last)

    def _tell_text(self) -> None:
        """Tell what has been written since text was told last."""
        if text := "".join(self._text[self._told :]):
            self._progress.tell("plan_text", text=text)
            self._tell_at = time.monotonic() + TOLD_EVERY
        self._told = len(self._text)

    def _show(self, task: Task) -> None:
        """Show a call, as a piece of the plan's message, if anyone looks."""
        if self._progress.messages.handlers and task.is_call and not self._handover.anew:
            self._streamed.add_call(call_of(task), behind="" if self._streamed.calls else self._feedback)

    def _release(self) -> None:
        """Send what was held back: the plan stands, but for calls whose condition may stand behind its end."""
        behind = _ANY_MARK.sub("", self._talked).strip()
        if self._holds_changes and may_be_conditional(behind, beside=False):
            error = condition_error(behind)
            for index, task in enumerate(self._plan.tasks[self._sent :], self._sent):
                if self._changes(task) and not task.error:
                    self._plan.tasks[index] = replace(task, error=error)
        self._send(stands=True)
        self._handover.end(self._plan.last)

    async def _read_on(self, chunks: AsyncGenerator[AIMessageChunk]) -> None:
        """Read on behind the plan's end: the tokens used, which models report last, and whether the plan was only
        thought of. A model that goes on talking is not listened to for long; when the tools are done, nothing waits for
        the stream any more. It is closed in any case."""

        async def read() -> None:
            try:
                async with aclosing(chunks):
                    async for chunk in chunks:
                        self._read(chunk)
                        if not self._goes_on():
                            return
            except Exception:
                if not self._ended:  # else the plan is there: nobody is to be told
                    raise

        reading, draining = asyncio.create_task(read()), asyncio.create_task(self._handover.done())
        try:
            if not self._holds:
                await asyncio.wait([reading, draining], return_when=asyncio.FIRST_COMPLETED)
            talked = None
            while not reading.done() and not (self._ended and talked == self._talked):
                talked = self._talked
                may_begin_anew = self._holds or bool(talked)
                await asyncio.wait([reading], timeout=SILENCE if may_begin_anew else USAGE_TIMEOUT)
        except asyncio.CancelledError:
            reading.cancel()
            await asyncio.wait([reading])
            raise
        finally:
            draining.cancel()
            give_up = asyncio.get_running_loop().call_later(CLOSING_TIMEOUT, reading.cancel)
            reading.add_done_callback(lambda _: give_up.cancel())
        if reading.done():
            reading.result()

    def _goes_on(self) -> bool:
        """Whether what comes behind the plan's end is worth reading."""
        if not self._ended:
            return True
        if self._reader.certain and not self._holds_changes:
            return bool(_CLOSING.fullmatch(self._talked))
        return len(self._talked) <= MOST_TALK
