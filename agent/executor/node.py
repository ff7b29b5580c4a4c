"""The executor node: the paper's Task Fetching Unit and Executor in one.

It takes tasks from the planner as they are parsed, starts each one when its dependencies are done, and writes the
plan and what came of it to the conversation. Nothing is polled: a task waits for the futures of the tasks that it
refers to.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.func import task as durable
from langgraph.runtime import Runtime
from langgraph.types import Command

from agent.context import Context
from agent.conversation.messages import by_task, observations, own_plans, tasks_of, this_turn, with_tasks
from agent.conversation.provenance import is_trusted, own_words, trusted_results, words_of_others
from agent.conversation.saving import storable
from agent.events import Progress
from agent.executor.approval import describe_request, graph_namespace
from agent.executor.call import Calls, shown_in_full
from agent.executor.order import Order, Touch
from agent.executor.outcomes import Outcomes
from agent.executor.run import Finished, PlanRun
from agent.handover import Handover
from agent.models import Models
from agent.state import Node, PausedPlan, State, Waiting
from agent.tooling.describe import signature_of
from agent.tooling.inject import Surroundings
from agent.tooling.invoke import Wrapper


def make_executor(tools: Mapping[str, BaseTool], models: Models, wrapper: Wrapper | None = None) -> Node:
    """The executor node for these tools.

    1. Ask the handover for the plan's tasks. If they are in the state already (there was no planner beside this node in
       the last superstep, or the plan was paused), or were saved before a crash, they are in the handover at once.
    2. Start each task as it comes. It runs when the tasks that it refers to are done.
    3. When all that can be done is done: go to `approval` if calls wait for one, else to the joiner with the plan and
       its observations as messages.

    Without a planner beside it the node goes to itself, and finds the plan in the state then.
    """
    signatures = {name: signature_of(tool) for name, tool in tools.items()}
    trusted = trusted_results(tools)
    touches = {name: Touch.of(tool) for name, tool in tools.items()}

    async def executor(state: State, runtime: Runtime[Context]) -> Command[Literal["executor", "approval", "joiner"]]:
        context = Context.of(runtime.context)
        handover = Handover.of(runtime)
        with handover.executing():
            progress = Progress.of(runtime)
            earlier = observations(state["messages"])
            paused = state.get("paused")
            outcomes = Outcomes(earlier, by_task(paused["done"]) if paused else {})
            own = state.get("own", ())
            turn = this_turn(state["messages"])
            order = Order(touches, outcomes, (task for plan in own_plans(turn) for task in tasks_of(plan)))
            calls = Calls(
                tools,
                context,
                await models.planner(context),
                progress,
                saved=bool(get_config()["configurable"].get(CONFIG_KEY_CHECKPOINTER)),
                in_view=words_of_others(state["messages"], own),
                trusted=trusted,
                decided={(call["task"], call["element"]): call for call in paused["waiting"]} if paused else {},
                surroundings=Surroundings(state["messages"], runtime, list(tools.values()), thread=_thread()),
                outcomes=outcomes,
                order=order,
                wrapper=wrapper,
            )
            for made in (*observations(turn).values(), *(paused["done"] if paused else ())):
                calls.remember(made)
            run = PlanRun(calls, outcomes, order, signatures)
            if planned := paused["plan"] if paused else state.get("plan"):
                handover.finish(planned)
            # Called before any tool, because replay after a crash goes by the order of calls. What it returns is
            # saved, so that this node can go on when the planner had finished and will not be run again.
            receiving = receive_plan(handover)
            with run.ending():
                async for task in handover.tasks():
                    run.start(task)
                finished = await run.finish(handover.last)
            handover.drain()
            plan = await receiving
            if handover.anew:
                return Command(goto="executor")
        if plan is None:
            return Command(goto="joiner") if state.get("alone") else Command(goto="executor", update={"alone": True})
        if finished.waiting:
            paused = _pause(plan, finished, [*state["messages"], *finished.results], tools)
            return Command(goto="approval", update={"paused": paused})
        answer = storable(plan.response_metadata["answer"])
        messages = [with_tasks(plan, finished.tasks, finished.results), *finished.results] if finished.results else []
        empty = not messages and bool(plan.content)
        update = {"messages": messages, "answer": answer, "empty": empty}
        if messages:
            update["own"] = own_words(state["messages"], own, _trusted_words(messages, calls))
        return Command(goto="joiner", update=update)

    return executor


def _thread() -> str:
    own = get_config()["configurable"]
    return f"{own['thread_id']}|{graph_namespace()}" if own.get(CONFIG_KEY_CHECKPOINTER) else uuid4().hex


def _trusted_words(messages: Sequence[BaseMessage], calls: Calls) -> list[BaseMessage]:
    """What of a plan and its results is nobody else's words: a plan that was made from nothing else; results of trusted
    tools; and why calls were not made, unless that tells of the results of others."""
    results = [message for message in messages if isinstance(message, ToolMessage)]
    made = [result for result in results if "started" in result.response_metadata]
    trusted = [result for result in results if is_trusted(result, calls.trusted)]
    if not calls.in_view and all(result in trusted for result in made):
        trusted = results
    return [*(() if calls.in_view else messages[:1]), *trusted]


def _pause(
    plan: AIMessage, finished: Finished, messages: Sequence[BaseMessage], tools: Mapping[str, BaseTool]
) -> PausedPlan:
    waiting = [
        Waiting(
            task=call.task.number,
            element=call.task.element,
            tool=call.task.tool,
            arguments=(arguments := shown_in_full(call.arguments or {})),
            description=describe_request(tools[call.task.tool], arguments, call.why, messages),
            decision=None,
        )
        for call in finished.waiting
    ]
    return PausedPlan(plan=plan, done=finished.results, waiting=waiting)


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
