"""The default agent with the tools of the MCP servers that `mcp.json` lists, in the working directory.

    cp mcp.example.json mcp.json

`make_graph` is for LangGraph's server, which calls it for each run; elsewhere, call it once and keep the graph. The
servers are started, or reached, at the first call, and keep their sessions for the life of the process. A tool that
its server does not call read-only counts as one with side effects, unless `"alwaysAllow"` in the file names it: its
calls wait for a person if results are in view or in their arguments, and fail without a checkpointer (see
`Context.approve_side_effects`).
"""

import asyncio
from pathlib import Path
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from agent import create_llm_compiler
from graphs import offline  # noqa: F401 — the model where no other is set # demo
from tools import TOOLS
from tools.mcp import McpServers

CONFIG = Path("mcp.json")

_servers = McpServers(CONFIG)


async def make_graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph with the tools of all servers that can be reached.

    Raises:
        McpConfigError: The file can't be used; the message says where and why.
    """
    tools = list(TOOLS)
    if await asyncio.to_thread(CONFIG.exists):
        tools += await _servers.tools(taken=[tool.name for tool in TOOLS])
    return create_llm_compiler(tools, name="mcp_agent")
