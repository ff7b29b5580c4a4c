"""Tools and servers on more than one node. They start Ray and several servers, and run with `make test-cluster`."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import PATIENCE

PORTS_OF_A_NODE = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def patient_ray() -> Iterator[None]:
    """Ray gives a node 30 s to start, and a node its agents 15 s to find ports: too short on a busy machine."""
    from ray._private import node, services

    start, get_node = node.Node.__init__, services.get_node

    def start_with_ports(self: Any, ray_params: Any, *arguments: Any, **options: Any) -> None:
        ray_params.update_if_absent(**{port: free_port() for port in PORTS_OF_A_NODE})
        start(self, ray_params, *arguments, **options)

    def wait_for_node(*arguments: Any) -> Any:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > until:
                    raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node.Node, "__init__", start_with_ports)
        patch.setattr(services, "get_node", wait_for_node)
        yield
