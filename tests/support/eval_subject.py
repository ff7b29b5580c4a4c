"""A graph with a tool of its own, for the tests of `llm-compiler eval --graph tests.integration.eval_subject`."""

from langchain_core.tools import ToolException, tool

from agent import create_llm_compiler

HEIGHTS = {"K2": 8611.0, "Mount Everest": 8849.0, "Ben Nevis": 1345.0}


@tool
async def height(mountain: str) -> float:
    """the height of a mountain in metres"""
    if mountain not in HEIGHTS:
        raise ToolException(f"There is no mountain {mountain!r}.")
    return HEIGHTS[mountain]


TOOLS = [height]
graph = create_llm_compiler(TOOLS)
