"""A graph for the tests of the development server: its model is scripted, and its tools can be made to wait."""

from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool

from agent import create_llm_compiler


@tool
async def research(topic: str, config: RunnableConfig) -> str:
    """asks the model about a topic"""
    model: Any = config["configurable"]["model"]
    return str((await model.ainvoke(topic)).text)


@tool
async def book(flight: str) -> str:
    """books a flight"""
    return f"booked {flight}"


book.metadata = {"requires_approval": True}
graph = create_llm_compiler([research, book], model="openai:test-model", name="scripted")
