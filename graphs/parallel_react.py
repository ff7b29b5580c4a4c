"""ReAct with parallel function calling: the model may call several tools at once, and then sees all results."""

from graphs.react import create_react
from tools import TOOLS

graph = create_react(TOOLS, parallel=True, name="parallel_react")
