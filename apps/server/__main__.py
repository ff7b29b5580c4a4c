"""`make serve`, or `python -m apps.server`: the server at HOST:PORT, 127.0.0.1:8000 if they are not set."""

import asyncio
import os
import socket
import sys
from math import ceil

from dotenv import load_dotenv

from agent import Context
from apps.runs.errors import in_one_line

NOT_WITHOUT_KEY = (
    "HOST={host} lets other machines ask this server, and anyone there could run its tools at your expense. "
    "Set LLM_COMPILER_API_KEY, which clients then have to bring, or listen at 127.0.0.1."
)
CANT_LISTEN = "The server can't listen at {host}:{port}: {why}. Another PORT may be free."
WRONG_PORT = "PORT={port!r} is no port; it must be a number from 0 to 65535."

MORE_CONNECTIONS = 400
"""How many more there may be than runs."""


def main() -> None:
    """Serve until the process is told to stop. What keeps the server from starting is told in a line."""
    try:
        import uvicorn

        from apps.server.app import app
        from apps.server.connections import bounded_to
        from apps.server.guard import may_listen
        from apps.server.limits import Limits
        from apps.server.threads import open_threads
    except ImportError as error:
        sys.exit(str(error))

    async def try_to_start() -> None:
        Context()
        async with open_threads(os.environ.get("CHECKPOINT_DB"), limits.max_threads):
            pass

    load_dotenv(".env")
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
    if not port.isdecimal() or int(port) > 65535:
        sys.exit(WRONG_PORT.format(port=port))
    try:
        limits = Limits.from_environment()
    except ValueError as error:
        sys.exit(str(error))
    if not may_listen(host, limits):
        sys.exit(NOT_WITHOUT_KEY.format(host=host))
    try:
        _try_to_listen(host, int(port))
    except OSError as error:
        sys.exit(CANT_LISTEN.format(host=host, port=port, why=error.strerror))
    try:
        asyncio.run(try_to_start())
    except Exception as error:  # noqa: BLE001 — whatever it is, uvicorn would tell it with a traceback
        sys.exit(in_one_line(error))
    uvicorn.run(
        app,
        host=host,
        port=int(port),
        http=bounded_to(limits.max_runs + MORE_CONNECTIONS),
        ws="none",
        timeout_keep_alive=ceil(limits.client_timeout),
        # Some seconds more than the runs have: then they have ended by themselves, or been cancelled.
        timeout_graceful_shutdown=round(limits.shutdown_timeout) + 5,
        server_header=False,
    )


def _try_to_listen(host: str, port: int) -> None:
    """
    Raises:
        OSError: The port is taken, or there is no such address. uvicorn would tell it after it has started the app.
    """
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
        socket.create_server(address[:2], family=family).close()


if __name__ == "__main__":
    main()
