"""Tools and servers on more than one node. They start Ray and several servers, and run with `make test-cluster`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import PATIENCE, free_port

PORTS_OF_AGENTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


@contextmanager
def patient_ray() -> Iterator[None]:
    """Ray on a busy machine.

    It gives a node 30 s to start, its agents 15 s to tell their ports, and its workers, which stand back for all other
    processes, 60 s to be there; a driver whose first workers aren't waits for ever.
    """
    from ray import _raylet
    from ray._private import node, services

    start_raylet, get_node = node.Node.start_raylet, services.get_node

    def start_with_ports(self: Any, *arguments: Any, **options: Any) -> None:
        for port in PORTS_OF_AGENTS:
            setattr(self._ray_params, port, free_port())
            _raylet.persist_port(self._session_dir, self._node_id, port, getattr(self._ray_params, port))
        start_raylet(self, *arguments, **options)

    def wait_for_node(*arguments: Any) -> Any:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > until:
                    raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_worker_register_timeout_seconds", "600")
        patch.setattr(node.Node, "start_raylet", start_with_ports)
        patch.setattr(services, "get_node", wait_for_node)
        yield
