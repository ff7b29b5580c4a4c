"""The package `llmcompiler`. It is sync: its calls run in threads."""

import time
from typing import Any

from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from llmcompiler.chat.run import RunLLMCompiler
from llmcompiler.result.chat import ChatRequest

from tests.benchmarks.contestants.script import ARGMAX, BASE_URL, MATH, SEARCH, begin, found, serve


def search(query: str) -> str:
    time.sleep(begin(query))
    return found(query)


def math(query: str, context: Any) -> str:
    time.sleep(begin(query))
    return found(query)


model = ChatOpenAI(model="llmcompiler", base_url=BASE_URL, api_key="none", max_retries=0)


def argmax(labels: list[str], values: list[float]) -> str:
    return max(zip(values, labels, strict=True))[1]


described = {search: SEARCH, math: MATH, argmax: ARGMAX}
tools = [StructuredTool.from_function(function, description=text) for function, text in described.items()]


def run(question: str) -> str:
    agent = RunLLMCompiler(ChatRequest(message=question), tools, model, print_graph=False, print_dag=False)
    return str(agent().response)


if __name__ == "__main__":
    serve(run)
