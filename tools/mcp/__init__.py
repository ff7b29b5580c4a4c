"""Tools of Model Context Protocol servers, which a file lists (see `tools.mcp.config`). Needs the extra `mcp`."""

from tools.mcp.config import McpConfigError
from tools.mcp.load import McpServers, load_mcp_tools

__all__ = ["McpConfigError", "McpServers", "load_mcp_tools"]
