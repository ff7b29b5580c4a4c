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
from langgraph.func import task as durable
from langgraph.runtime import Runtime
from langgraph.types import Command

from agent.context import Context
from agent.events import Progress
from agent.execution import Execution
from agent.messages import observations
from agent.models import Models
from agent.state import Node, State
from agent.stream import PlanStream


def make_executor(tools: Mapping[str, BaseTool], models: Models) -> Node:
    """The executor node for these tools.

    1. Ask the stream for the plan's tasks. If they are in the state already (there was no planner beside this node in
       the last superstep), or were saved before a crash, they are in the stream at once.
    2. Start each task as it comes. It runs when the tasks that it refers to are done.
    3. When all are done, go to the joiner with the plan and its observations as messages.

    Without a planner beside it the node goes to itself, and finds the plan in the state then.
    """

    async def executor(state: State, runtime: Runtime[Context]) -> Command[Literal["executor", "joiner"]]:
        context = Context.of(runtime.context)
        stream = PlanStream.of(runtime)
        with stream.executing():
            model = await models.planner(context)
            progress = Progress(runtime.stream_writer)
            saved = bool(runtime.execution_info and runtime.execution_info.thread_id)
            execution = Execution(tools, context, model, progress, observations(state["messages"]), saved)
            if planned := state.get("plan"):
                stream.finish(planned)
            # Called before any tool, because replay after a crash goes by the order of calls. What it returns is
            # saved, so that this node can go on when the planner had finished and will not be run again.
            receiving = receive_plan(stream)
            async for task in stream.tasks():
                execution.start(task)
            results = await execution.finish(stream.last)
            stream.drain()
            plan = await receiving
        if plan is None and not state.get("alone"):
            return Command(goto="executor", update={"alone": True})
        return Command(goto="joiner", update={"messages": [plan, *results] if plan and results else []})

    return executor


def receive_plan(stream: PlanStream) -> "asyncio.Future[AIMessage | None]":
    """The plan's message from the planner beside this executor, or from before a crash; None if there is neither."""

    @durable
    async def receive_plan() -> AIMessage | None:
        return await stream.plan()

    def relay(future: "asyncio.Future[AIMessage | None]") -> None:
        if future.cancelled():
            return  # and so is this node
        if error := future.exception():
            stream.fail(error)
        elif plan := future.result():
            stream.finish(plan)
        else:
            stream.end()

    receiving = asyncio.ensure_future(receive_plan())
    receiving.add_done_callback(relay)
    return receiving
