"""This template, with plans in the paper's syntax (`llm-compiler`) or with maps (`llm-compiler-maps`)."""

import sys

from langchain_openai import ChatOpenAI

from agent import create_llm_compiler
from tests.benchmarks.contestants.script import BASE_URL, math, search, serve_async

model = ChatOpenAI(model=sys.argv[1], base_url=BASE_URL, api_key="none", max_retries=0, stream_usage=True)
graph = create_llm_compiler([search, math], model=model)


async def run(question: str) -> str:
    result = await graph.ainvoke({"messages": question})
    return str(result["messages"][-1].text)


if __name__ == "__main__":
    serve_async(run)
