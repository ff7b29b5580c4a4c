"""Tools and servers on more than one node. They start Ray and several servers, and run with `make test-cluster`."""

import socket


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
