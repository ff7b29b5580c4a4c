"""What tests are made with: model and MCP servers, databases, terminals, processes."""

import random
import socket
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project."""

PATIENCE = 100.0
"""Seconds after which a wait counts as hanging: less than a test may take, far more than any machine needs."""


def free_port() -> int:
    """A port that nothing listens at, nor gets when it asks for any: systems give those from 32768 on."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
