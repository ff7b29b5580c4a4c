"""What the agent can do: one file a tool, and `TOOLS`, the list to edit.

To add a tool, write a function with type hints and a one-line docstring (the planner's prompt shows both, and is paid
for on every question), decorate it with `langchain_core.tools.tool`, and put it into the list:

    @tool
    async def weather(city: str) -> str:
        \"\"\"the weather in a city now\"\"\"

An `async` tool may not block; a plain `def` runs in a thread. A raised exception becomes the call's result: say in it
what to do instead.
"""

from langchain_core.tools import BaseTool

from tools.clock import clock

TOOLS: list[BaseTool] = [clock]
