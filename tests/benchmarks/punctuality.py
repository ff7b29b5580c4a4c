"""Whether tokens reach a client when they are due: a bare socket beside the model server, and no library between."""

import json
import socket
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.ideal import Speed
from tests.benchmarks.workloads import WORKLOADS, our_plan
from tests.support.model_server import ROLES, tokens_of


def punctuality(base_url: str, speed: Speed, workload: str = "fifty") -> dict[str, Any]:
    """Milliseconds by which the tokens of a plan come late, from the moment that the request was written."""
    address = urlsplit(base_url)
    messages = [
        {"role": "system", "content": ROLES["planner"]},
        {"role": "user", "content": WORKLOADS[workload].question},
    ]
    body = json.dumps({"model": "llm-compiler", "stream": True, "messages": messages}).encode()
    head = f"POST {address.path}/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    arrived: list[float] = []
    with socket.create_connection((address.hostname, address.port)) as connection:
        began = time.perf_counter()
        connection.sendall(head.encode() + body)
        while data := connection.recv(1 << 16):
            now = time.perf_counter() - began
            arrived += [now] * data.count(b'"delta": {"content":')
    late = [(now - speed.until(token)) * 1000 for token, now in enumerate(arrived, 1)]
    expected = len(tokens_of(our_plan(WORKLOADS[workload])))
    assert len(late) == expected, f"{len(late)} tokens came instead of {expected}"
    return {"tokens": len(late), "median_ms": statistics.median(late), "max_ms": max(late)}
