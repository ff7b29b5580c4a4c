"""The package `llama-index-agent-llm-compiler`."""

from llama_index.agent.llm_compiler import LLMCompilerAgentWorker
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

from tests.benchmarks.contestants.script import ARGMAX, BASE_URL, MATH, SEARCH, argmax, math, search, serve_async

# A name that the package knows: it looks up the size of the context.
model = OpenAI(model="gpt-4o-mini", api_base=BASE_URL, api_key="none", max_retries=0)
tools = [
    FunctionTool.from_defaults(async_fn=search, name="search", description=SEARCH),
    FunctionTool.from_defaults(async_fn=math, name="math", description=MATH),
    FunctionTool.from_defaults(async_fn=argmax, name="argmax", description=ARGMAX),
]
agent = LLMCompilerAgentWorker.from_tools(tools, llm=model).as_agent()


async def run(question: str) -> str:
    agent.reset()
    return str(await agent.achat(question))


if __name__ == "__main__":
    serve_async(run, at_once=False)
