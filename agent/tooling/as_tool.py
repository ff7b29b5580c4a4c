"""Agents as tools: a compiled graph that a plan can ask."""

from typing import Any

from langchain_core.messages import convert_to_messages
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.pregel.protocol import PregelProtocol


def as_tool(graph: PregelProtocol[Any, Any, Any, Any], *, name: str, description: str) -> BaseTool:
    """A graph whose state is a conversation, as a tool that takes a question and gives the answer's text.

    The graph runs as a subgraph of the run that calls it: its stream events stand under the task's namespace, it is
    cancelled with the task, an `interrupt` in it pauses the whole run, and it is resumed from its own checkpoints if
    the run has a checkpointer. Each question is a conversation of its own. The graph need not be an LLMCompiler.

    Args:
        graph: The compiled graph: its input and output have `messages`.
        name: The tool's name.
        description: What it knows or does, in a line, for the planner.
    """

    async def ask(question: str) -> str:
        return _answer(await graph.ainvoke(_asked(question)))

    def ask_from_sync_code(question: str) -> str:
        return _answer(graph.invoke(_asked(question)))

    return StructuredTool.from_function(ask_from_sync_code, ask, name=name, description=description)


def _asked(question: str) -> dict[str, Any]:
    return {"messages": [("user", question)]}


def _answer(output: Any) -> str:
    (answer,) = convert_to_messages(output["messages"][-1:])  # of a RemoteGraph it is a dict
    return str(answer.text)
