"""The executor node: the paper's Task Fetching Unit and Executor in one.

It takes tasks from the planner as they are parsed, starts each one when its dependencies are done, and writes the
plan and what came of it to the conversation. Nothing is polled: a task waits for the futures of the tasks that it
refers to.
"""

import asyncio
from collections.abc import Mapping
from typing import Literal

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.func import task as durable
from langgraph.runtime import Runtime
from langgraph.types import Command

from agent.context import Context
from agent.conversation.messages import observations, own_plans, tasks_of, this_turn, with_tasks
from agent.conversation.saving import storable
from agent.events import Progress
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
    touches = {name: Touch.of(tool) for name, tool in tools.items()}

    async def executor(state: State, runtime: Runtime[Context]) -> Command[Literal["executor", "approval", "joiner"]]:
        context = Context.of(runtime.context)
        handover = Handover.of(runtime)
        with handover.executing():
            progress = Progress.of(runtime)
            earlier = observations(state["messages"])
            paused = state.get("paused")
            outcomes = Outcomes(earlier, observations(paused["done"]) if paused else {})
            turn = this_turn(state["messages"])
            order = Order(touches, outcomes, (task for plan in own_plans(turn) for task in tasks_of(plan)))
            calls = Calls(
                tools,
                context,
                await models.planner(context),
                progress,
                saved=bool(get_config()["configurable"].get(CONFIG_KEY_CHECKPOINTER)),
                has_seen_results=bool(earlier),
                decided={(call["task"], call["element"]): call for call in paused["waiting"]} if paused else {},
                surroundings=Surroundings(state["messages"], runtime, list(tools.values())),
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
            return Command(goto="approval", update={"paused": _pause(plan, finished)})
        answer = storable(plan.response_metadata["answer"])
        messages = [with_tasks(plan, finished.tasks), *finished.results] if finished.results else []
        return Command(goto="joiner", update={"messages": messages, "answer": answer, "empty": not messages})

    return executor


def _pause(plan: AIMessage, finished: Finished) -> PausedPlan:
    waiting = [
        Waiting(
            task=call.task.number,
            element=call.task.element,
            tool=call.task.tool,
            arguments=shown_in_full(call.arguments or {}),
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
