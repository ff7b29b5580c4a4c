"""This template, with plans in the paper's syntax (`llm-compiler`), with maps (`llm-compiler-maps`), or with
maps and the answer's words (`llm-compiler-direct`)."""

import sys

from langchain_openai import ChatOpenAI

from agent import create_llm_compiler
from tests.benchmarks.contestants.script import BASE_URL, argmax, math, search, serve_async, words

model = ChatOpenAI(model=sys.argv[1], base_url=BASE_URL, api_key="none", max_retries=0, stream_usage=True)
graph = create_llm_compiler([search, math, argmax], model=model)


async def run(question: str) -> str:
    result = await graph.ainvoke({"messages": question})
    return str(result["messages"][-1].text)


async def stream(question: str) -> str:
    return await words(graph.astream({"messages": question}, stream_mode=["messages", "custom"]))


if __name__ == "__main__":
    serve_async(run, stream)
