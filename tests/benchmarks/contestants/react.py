"""LangGraph's ReAct loop, with one call a turn (`react`), or as many as there can be (`react-parallel`)."""

import sys
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from tests.benchmarks.contestants.script import BASE_URL, argmax, math, search, serve_async, words

model = ChatOpenAI(model=sys.argv[1], base_url=BASE_URL, api_key="none", max_retries=0)
graph = create_agent(model, [search, math, argmax])


async def run(question: str) -> str:
    result = await graph.ainvoke({"messages": [("user", question)]}, {"recursion_limit": 1000})
    return str(result["messages"][-1].text)


async def stream(question: str) -> str:
    given: Any = {"messages": [("user", question)]}
    return await words(graph.astream(given, {"recursion_limit": 1000}, stream_mode=["messages", "custom"]))


if __name__ == "__main__":
    serve_async(run, stream)
