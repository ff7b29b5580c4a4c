"""A Model Context Protocol server for tests, over its standard streams or over HTTP: `python mcp_server.py [port]`."""

import asyncio
import os
import sys
from typing import Annotated, Any

from mcp.server.fastmcp import Context, FastMCP, Image
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel

server = FastMCP("test")


class Wind(BaseModel):
    speed: float


class Weather(BaseModel):
    celsius: float
    wind: Wind


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def weather(city: str) -> Weather:
    """the weather in a city"""
    return Weather(celsius=len(city), wind=Wind(speed=3.5))


@server.tool()
def add(first: int, second: int = 1) -> int:
    """the sum"""
    return first + second


@server.tool()
def cities() -> list[str]:
    """some cities"""
    return ["Rome", "Oslo"]


@server.tool()
def configure(config: str) -> str:
    """takes an argument of a name that LangChain uses itself"""
    return f"configured {config}"


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """a picture with words"""
    return ["Look:", Image(data=b"PNG", format="png")]


class Content(BaseModel):
    content: str


@server.tool()
def read(path: str) -> Annotated[CallToolResult, Content]:
    """a file's text, as servers in TypeScript give it: as it is, and in an object"""
    text = f"words of {path}"
    return CallToolResult(content=[TextContent(type="text", text=text)], structuredContent={"content": text})


@server.tool(annotations=ToolAnnotations(readOnlyHint=False, openWorldHint=True))
def click(button: str) -> str:
    """clicks on a button of a page, and gives the next page"""
    return f"page behind {button}"


@server.tool(annotations=ToolAnnotations(readOnlyHint=False, openWorldHint=False))
def note(text: str) -> str:
    """notes something"""
    return f"noted {text}"


@server.tool()
def variable(name: str) -> str:
    """a variable of the server's environment"""
    return os.environ.get(name, "(none)")


@server.tool()
def process() -> int:
    """the server's process id"""
    return os.getpid()


@server.tool()
def fail(reason: str) -> str:
    """fails"""
    raise ValueError(reason)


@server.tool()
async def learn(name: str, context: Context[Any, Any, Any]) -> str:
    """has the server have another tool"""
    server.add_tool(add, name=name)
    await context.session.send_tool_list_changed()
    return f"learnt {name}"


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def die() -> str:
    """ends the server"""
    sys.stderr.write("Goodbye, world.\n")
    sys.stderr.flush()
    os._exit(3)


@server.tool()
async def hang() -> str:
    """never answers"""
    await asyncio.Event().wait()
    return ""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.settings.port = int(sys.argv[1])
        server.run("streamable-http")
    server.run()
