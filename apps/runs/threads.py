"""Conversations that outlive the process: each is a thread of the agent, kept by a checkpointer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Checkpointer, Interrupt, StateSnapshot

from agent.conversation.messages import this_turn
from apps.runs.checkpoints import open_checkpointer
from apps.runs.graphs import Graph, GraphError, find_graph, served_graph
from apps.runs.locks import open_locks

ThreadState = Literal["empty", "finished", "broken", "waiting"]
"""`broken`: the last question has no answer yet, because the run died, or runs at this moment. `waiting`: for an
approval, or another answer of the user's."""

GRAPH = "graph"
"""In the metadata of a thread's checkpoints: the name of its graph, if another one was asked for than is served."""

UNANSWERED = "(No answer: the run was stopped, or failed.)"


@dataclass(frozen=True)
class Thread:
    """What there is to tell about a thread."""

    name: str
    state: ThreadState
    used: str
    """When something was saved last, as ISO 8601."""

    messages: list[AnyMessage]
    """The conversation."""

    waits_for: list[Interrupt]
    """What the user is asked for."""

    planned: bool
    """Whether no plan needs to be written before it goes on."""

    graph: str | None = None
    """The name of its graph, if another one was asked for than is served."""

    @property
    def questions(self) -> list[str]:
        """The user's."""
        return [str(message.text) for message in self.messages if isinstance(message, HumanMessage)]

    @property
    def turn(self) -> list[AnyMessage]:
        """The messages since the last question."""
        return list(this_turn(self.messages))

    @property
    def closing(self) -> list[AnyMessage]:
        """What stands between a question that was left without an answer and the next one: models, to which one would
        look like a part of the other, would answer both."""
        return [AIMessage(UNANSWERED)] if self.state in ("broken", "waiting") else []


@dataclass(frozen=True)
class Session:
    """A thread of the agent."""

    graph: Graph
    name: str

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, url: str | None = None) -> AsyncIterator[Self]:
        """The thread of that name, new or not, for oneself alone.

        Raises:
            apps.runs.checkpoints.CheckpointError: The database can't be had.
            apps.runs.graphs.GraphError: The graph can't be loaded.
            apps.runs.locks.BusyError: Another process runs the thread.
        """
        async with open_checkpointer(url) as saver, open_locks(url) as locks, locks.held(name):
            session, _ = await cls.of(name, saver).with_its_graph()
            yield session

    @classmethod
    def in_memory(cls) -> Self:
        """A thread that is gone with the process."""
        return cls.of("memory", InMemorySaver())

    @classmethod
    def of(cls, name: str, saver: BaseCheckpointSaver[Any]) -> Self:
        """The thread of that name in a checkpointer."""
        return cls(served_graph().graph.copy(update={"checkpointer": saver}), name)

    async def with_its_graph(self) -> tuple[Self, Thread]:
        """The same thread, with the graph that it was begun with by name (see `graph_by_name`); else with this one. And
        how it stands.

        Raises:
            apps.runs.graphs.GraphError: It can't be loaded.
        """
        thread = await self.thread()
        if not thread.graph:
            return self, thread
        session = replace(self, graph=await graph_by_name(thread.graph, self.saver))
        return session, await session.thread()

    @property
    def config(self) -> RunnableConfig:
        """What the graph is invoked with."""
        return {"configurable": {"thread_id": self.name}}

    async def thread(self) -> Thread:
        """How the thread stands, as far as this graph can tell."""
        snapshot = await self.graph.aget_state(self.config)
        about: Any = snapshot.metadata or {}
        return Thread(
            self.name,
            _state_of(snapshot),
            snapshot.created_at or "",
            snapshot.values.get("messages", []),
            list(snapshot.interrupts),
            "planner" not in snapshot.next,
            about.get(GRAPH),
        )

    @property
    def saver(self) -> BaseCheckpointSaver[Any]:
        """Where it is kept."""
        assert isinstance(self.graph.checkpointer, BaseCheckpointSaver)
        return self.graph.checkpointer

    async def delete(self) -> None:
        """Delete it for good."""
        await self.saver.adelete_thread(self.name)

    async def save_in(self, saver: BaseCheckpointSaver[Any], name: str) -> None:
        """Copy the thread to a checkpointer, under a name."""
        config: RunnableConfig = {"configurable": {"thread_id": name, "checkpoint_ns": ""}}
        for saved in reversed([saved async for saved in self.saver.alist(self.config)]):
            versions = saved.checkpoint["channel_versions"]
            config = await saver.aput(config, saved.checkpoint, saved.metadata, versions)
            writes: dict[str, list[tuple[str, Any]]] = {}
            for task, channel, value in saved.pending_writes or []:
                writes.setdefault(task, []).append((channel, value))
            for task, values in writes.items():
                await saver.aput_writes(config, values, task)


async def graph_by_name(name: str, checkpointer: Checkpointer) -> Graph:
    """The graph of that name, with a checkpointer. Threads that are begun with it go on with it.

    Raises:
        apps.runs.graphs.GraphError: It can't be loaded.
    """
    graph = (await asyncio.to_thread(find_graph, name)).graph
    return graph.with_config(metadata={GRAPH: name}).copy(update={"checkpointer": checkpointer})


def _state_of(snapshot: StateSnapshot) -> ThreadState:
    if not snapshot.values.get("messages"):
        return "empty"
    if snapshot.interrupts:
        return "waiting"
    return "broken" if snapshot.tasks else "finished"  # in `next` is only what has written nothing yet


async def thread_of(session: Session) -> Thread:
    """How a thread stands; where its graph can't be loaded, as far as another one can tell."""
    try:
        _, thread = await session.with_its_graph()
    except GraphError:
        return await session.thread()
    return thread


async def list_threads(saver: BaseCheckpointSaver[Any]) -> list[Thread]:
    """All threads, the last used first."""
    # The checkpoint before a thread's first superstep: there is one for each, and it is small.
    first = [saved async for saved in saver.alist(None, filter={"step": -1})]
    names = dict.fromkeys(saved.config["configurable"]["thread_id"] for saved in first)
    threads = [await thread_of(Session.of(name, saver)) for name in names]
    return sorted((thread for thread in threads if thread.state != "empty"), key=lambda t: t.used, reverse=True)
