"""The default agent: the tools of `tools.TOOLS`."""

from agent import create_llm_compiler
from tools import TOOLS

EXAMPLES = """\
Question: Is it later in Tokyo or in New York?
1. clock.map(["Asia/Tokyo", "America/New_York"])
2. join()
"""
"""What the planner is shown: how your tools go together."""

QUESTIONS = ["What time is it in Tokyo and in New York?"]
"""What the page suggests to ask."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES)
