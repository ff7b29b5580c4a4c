"""The executor node: the paper's Task Fetching Unit and Executor in one.

It takes tasks from the planner as they are parsed, starts each one when its dependencies are done, and writes the
plan and what came of it to the conversation. Nothing is polled: a task waits for the futures of the tasks that it
refers to.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, RemoveMessage
from langchain_core.tools import BaseTool
from langgraph.func import task as durable
from langgraph.runtime import Runtime
from langgraph.types import Command

from agent.context import Context
from agent.conversation.answer import changing
from agent.conversation.messages import (
    NO_PLAN,
    all_tasks,
    answer_id,
    apart,
    observations,
    this_turn,
    with_tasks,
)
from agent.conversation.provenance import (
    asked_with,
    is_trusted,
    own_words,
    own_words_of_plan,
    trusted_tools,
    words_of_others,
)
from agent.conversation.savable import storable
from agent.events import Progress
from agent.executor.answer import show_answer, whole_answer
from agent.executor.approval import describe_request, to_decide_about
from agent.executor.call import Calls
from agent.executor.checkpoint import Superstep
from agent.executor.effects import Order, Touch
from agent.executor.outcomes import Outcomes
from agent.executor.run import Finished, PlanRun
from agent.handover import Handover
from agent.models import Models
from agent.state import Node, PausedPlan, State, Waiting
from agent.streaming import StreamedMessage
from agent.tooling.describe import signature_of
from agent.tooling.inject import Surroundings
from agent.tooling.invoke import Wrapper


def make_executor(
    tools: Mapping[str, BaseTool], models: Models, wrapper: Wrapper | None = None, *, shows_answers: bool = True
) -> Node:
    """The executor node for these tools. With `shows_answers`, the plan's own answer is shown while it is written.

    1. Ask the handover for the plan's tasks. If they are in the state already (there was no planner beside this node in
       the last superstep, or the plan was paused), or were saved before a crash, they are in the handover at once.
    2. Start each task as it comes. It runs when the tasks that it refers to are done.
    3. When all that can be done is done, write the plan and its observations to the conversation, and go to `approval`
       if calls wait for one, else to the joiner. An observation that waits is replaced when it is there.

    Without a planner beside it the node goes to itself, and finds the plan in the state then.
    """
    signatures = {name: signature_of(tool) for name, tool in tools.items()}
    trusted = trusted_tools(tools)
    touches = {name: Touch.of(tool) for name, tool in tools.items()}

    async def executor(state: State, runtime: Runtime[Context]) -> Command[Literal["executor", "approval", "joiner"]]:
        context = Context.of(runtime.context)
        handover = Handover.of(runtime)
        with handover.executing():
            progress = Progress.of(runtime)
            paused = state.get("paused")
            decided = [*paused.get("decided", ()), *paused["waiting"]] if paused else []
            planned = paused["plan"] if paused else state.get("plan")
            plan_id = (planned and planned.id) or handover.plan_id
            messages, done = apart(state["messages"], plan_id)
            outcomes = Outcomes(observations(messages), done)
            own = state.get("own", ())
            of_others = [*asked_with.get(), *words_of_others(messages, own)]
            turn = this_turn(messages)
            superstep = Superstep.here(runtime)
            calls = Calls(
                tools,
                context,
                await models.planner(context),
                progress,
                superstep=superstep,
                of_others=of_others,
                trusted=trusted,
                decided={(call["task"], call["element"]): call for call in decided},
                surroundings=Surroundings(
                    messages, runtime, list(tools.values()), thread=superstep.thread if superstep else uuid4().hex
                ),
                plan=plan_id,
                outcomes=outcomes,
                order=Order(touches, outcomes, all_tasks(turn)),
                wrapper=wrapper,
            )
            for made in (*observations(turn).values(), *done.values()):
                calls.remember(made)
            run = PlanRun(calls, signatures)
            if planned:
                handover.finish(planned)
                if not (paused or state.get("alone")):  # what seemed to be the plan before was taken back
                    StreamedMessage(progress.messages, plan_id).add_calls(planned)
            # Called before any tool, because replay after a crash goes by the order of calls. What it returns is
            # saved, so that this node can go on when the planner had finished and will not be run again.
            receiving = receive_plan(handover)
            with run.ending():
                async for task in handover.tasks():
                    run.start(task)
                finished = await run.finish(handover.last)
            handover.drain()
            streamed = StreamedMessage(progress.messages.of("joiner"), answer_id(plan_id))
            if shows_answers and context.direct_join and not (finished.waiting or changing(tools, context)):
                seen = [*messages, *_carried_out(AIMessage("", id=plan_id, response_metadata=NO_PLAN), finished)]
                await show_answer(handover, seen, streamed)
            plan = await receiving
            if handover.anew:
                streamed.take_back()
                for observation in finished.observations:
                    progress.messages.show(RemoveMessage(str(observation.id)))
                return Command(goto="executor")
        if plan is None:
            return Command(goto="joiner") if state.get("alone") else Command(goto="executor", update={"alone": True})
        new = _carried_out(plan, finished)
        update: dict[str, Any] = {"messages": new}
        if new:
            trusted_ids = {one.tool_call_id for one in finished.observations if is_trusted(one, trusted)}
            update["own"] = own_words(messages, own, own_words_of_plan(new, of_others, trusted_ids))
        if finished.waiting:
            for observation in finished.observations:
                progress.messages.hide(observation.id)  # it would be added to, not replaced, when it is there
            waiting = _waiting(finished, [*messages, *finished.observations], tools)
            update["paused"] = PausedPlan(plan=plan, waiting=waiting, decided=decided)
            return Command(goto="approval", update=update)
        words = storable(plan.response_metadata["answer"])
        update |= {"answer": words, "empty": not new and bool(plan.content)}
        if answer := whole_answer(words, [*messages, *new], streamed):
            update |= {"messages": [*new, answer], "answered": True}
        return Command(goto="joiner", update=update)

    return executor


def _carried_out(plan: AIMessage, finished: Finished) -> list[AnyMessage]:
    """The plan as it was carried out, and its observations, for the conversation; nothing, if it has no calls."""
    observed = finished.observations
    return [with_tasks(plan, finished.tasks, observed), *observed] if observed else []


def _waiting(finished: Finished, messages: Sequence[BaseMessage], tools: Mapping[str, BaseTool]) -> list[Waiting]:
    return [
        Waiting(
            task=call.task.number,
            element=call.task.element,
            tool=call.task.tool,
            arguments=(arguments := to_decide_about(call.arguments or {})),
            description=describe_request(tools[call.task.tool], arguments, call.why, messages),
            decision=None,
        )
        for call in finished.waiting
    ]


def receive_plan(handover: Handover) -> "asyncio.Future[AIMessage | None]":
    """The plan's message from the planner beside this executor, or from before a crash; None if there is neither."""

    @durable
    async def receive_plan() -> AIMessage | None:
        return await handover.plan()

    def relay(future: "asyncio.Future[AIMessage | None]") -> None:
        if future.cancelled():
            return  # and so is this node
        if error := future.exception():
            handover.fail(error)
        elif plan := future.result():
            handover.finish(plan)
        else:
            handover.end()

    receiving = asyncio.ensure_future(receive_plan())
    receiving.add_done_callback(relay)
    return receiving
