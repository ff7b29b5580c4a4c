"""A small agent for tests that are about something else, such as the command line: `LLM_COMPILER_GRAPH=…mountains`."""

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException, tool

from agent import create_llm_compiler

HEIGHTS = {"K2": 8611, "Mount Everest": 8849, "Ben Nevis": 1345}


@tool
async def height(mountain: str) -> int:
    """the height of a mountain in metres"""
    if mountain not in HEIGHTS:
        raise ToolException(f"There is no mountain {mountain!r}.")
    return HEIGHTS[mountain]


@tool
async def subtract(a: float, b: float) -> float:
    """a - b"""
    return a - b


@tool
async def estimate(what: str, config: RunnableConfig) -> str:
    """asks the model"""
    return str((await config["configurable"]["model"].ainvoke(what)).text)


TOOLS = [height, subtract, estimate]
QUESTIONS = ["How much taller is Mount Everest than K2?"]
PLAN = """\
1. height.map(["Mount Everest", "K2"])
2. subtract($1[0], $1[1])
3. join("Mount Everest is $2 m taller than K2.")"""
"""What a model may make of the question."""

graph = create_llm_compiler(TOOLS, name="mountains")
