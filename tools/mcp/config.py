"""The file that lists Model Context Protocol servers, in the format that other hosts have too:

    {"mcpServers": {
        "files": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "."]},
        "issues": {"url": "https://example.com/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}
    }}

`${NAME}` and `${NAME:-default}` stand for environment variables, in any text. A server with a `url` speaks streamable
HTTP, or what its `type` (or `transport`) says: `http` or `sse`. `"disabled": true` leaves a server out.
`"alwaysAllow": ["search"]` vouches for tools, and `["*"]` for all of the server's: they count as harmless although the
server does not say so.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_EXPECTED: dict[Any, str] = {str: "a text", list: "a list of texts", dict: "an object of texts"}
_TRANSPORTS = {
    "http": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "streamablehttp": "http",
    "sse": "sse",
}


class McpConfigError(ValueError):
    """The file of servers can't be used; the message says where and why."""


@dataclass(frozen=True)
class ServerConfig:
    """One entry of the file, with its variables filled in."""

    name: str
    command: str = ""
    """The program to start, for a server that speaks over its standard streams."""

    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to a few harmless variables of this process, such as `PATH` and `HOME`."""

    cwd: str | None = None
    url: str = ""
    transport: str = "stdio"
    """`stdio`, `http` or `sse`."""

    headers: Mapping[str, str] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    """The tools that somebody vouches for; `*` stands for all."""

    @property
    def address(self) -> str:
        """Where it is, without what may have keys in it: the arguments of a command, and the rest of a URL."""
        url = urlsplit(self.url)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}" if self.url else self.command

    def __str__(self) -> str:
        return f"MCP server {self.name!r} ({self.address})"


def read_config(path: str | Path) -> list[ServerConfig]:
    """The servers of a file.

    Raises:
        McpConfigError: It can't be read, or an entry can't be used.
    """
    try:
        listed = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise McpConfigError(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise McpConfigError(f"{path} is not JSON: {error}.") from error
    servers = listed.get("mcpServers") if isinstance(listed, dict) else None
    if not isinstance(servers, dict):
        raise McpConfigError(f'{path} has no "mcpServers": {{name: {{…}}}}.')
    return [
        _read_server(f"{path}: server {name!r}", name, entry)
        for name, entry in servers.items()
        if not (isinstance(entry, dict) and entry.get("disabled"))
    ]


def _read_server(place: str, name: str, entry: Any) -> ServerConfig:
    if not isinstance(entry, dict):
        raise McpConfigError(f"{place} is {entry!r}, not an object.")
    if ("command" in entry) == ("url" in entry):
        raise McpConfigError(f'{place} needs either a "command" or a "url".')

    def read(key: str, kind: type[Any], default: Any) -> Any:
        value = entry.get(key)
        if value is None:
            return default
        parts = value if kind is list else value.values() if kind is dict and isinstance(value, dict) else [value]
        if not isinstance(value, kind) or not all(isinstance(part, str) for part in parts):
            raise McpConfigError(f"{place}: {key!r} is {value!r}, not {_EXPECTED[kind]}.")
        return _expand(value, f"{place}: {key!r}")

    allowed = frozenset(read("alwaysAllow", list, []))
    if "command" in entry:
        return ServerConfig(
            name,
            command=read("command", str, ""),
            args=tuple(read("args", list, [])),
            env=read("env", dict, {}),
            cwd=read("cwd", str, None),
            allowed=allowed,
        )
    kind = str(entry.get("type") or entry.get("transport") or "http")
    if kind.lower() not in _TRANSPORTS:
        raise McpConfigError(f"{place}: the type {kind!r} is none of 'http' and 'sse' (or 'stdio', with a command).")
    return ServerConfig(
        name,
        url=read("url", str, ""),
        transport=_TRANSPORTS[kind.lower()],
        headers=read("headers", dict, {}),
        allowed=allowed,
    )


def _expand(value: Any, place: str) -> Any:
    if isinstance(value, list):
        return [_expand(item, place) for item in value]
    if isinstance(value, dict):
        return {name: _expand(item, place) for name, item in value.items()}

    def look_up(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            raise McpConfigError(f"{place} refers to ${{{match[1]}}}, which the environment has not.")
        return found

    return _VARIABLE.sub(look_up, value)
