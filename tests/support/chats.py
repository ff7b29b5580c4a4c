"""Agents with the same tools, for the tests of chats: this project's, and LangChain's."""

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.constants import TAG_NOSTREAM

from agent import create_llm_compiler
from agent.models import load_model

MODEL = "openai:test-model"


@tool
async def look_up(name: str) -> str:
    """looks something up"""
    return f"about {name}"


@tool
async def research(topic: str) -> str:
    """asks the model about a topic"""
    quietly: RunnableConfig = {"tags": [TAG_NOSTREAM]}  # LangGraph shows what models say, in tools as well
    return str((await load_model(MODEL).ainvoke(topic, quietly)).text)


@tool
async def pay(name: str, amount: int) -> str:
    """pays somebody"""
    return f"paid {amount} to {name}"


pay.metadata = {"requires_approval": True}
compiler = create_llm_compiler([look_up, research], model=MODEL, name="compiler")
paying_compiler = create_llm_compiler([look_up, pay], model=MODEL, name="paying_compiler")
asking = HumanInTheLoopMiddleware({"pay": {"allowed_decisions": ["approve", "edit", "reject"]}})
paying_loop = create_agent(load_model(MODEL), [look_up, pay], middleware=[asking], name="paying_loop")
