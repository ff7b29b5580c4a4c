"""The model as a process of its own: `python -m tests.benchmarks.server 0.3 80` (time to first token, tokens a second).

It prints its address, and for each line on its standard input what it has done since the last one, as JSON. It answers
each contestant in the form that the contestant's prompts ask for; who asks is told by the model's name, the system
message, and the tools.
"""

import json
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from tests.benchmarks.ideal import Speed
from tests.benchmarks.workloads import JOINS, PLANS, WORKLOADS, Call, Workload
from tests.support.model_server import ChatRequest, Exchange, ModelServer, Reply, tokens_of

WARM_UP = "Workload warm-up"


def answer(request: ChatRequest, speed: Speed) -> Reply:
    """What the model says to a contestant."""
    workload = _workload(request)
    if request.model.startswith("react"):
        calls = _next_calls(request, workload)
        tool_calls = [(call.tool, _arguments(call)) for call in calls]
        return Reply("" if calls else workload.answer, tool_calls, "", speed.first_token, speed.per_token)
    form, planning = _form(request)
    text = PLANS[form](workload) if planning else JOINS[form].format(answer=workload.answer)
    return Reply(text, first_token=speed.first_token, per_token=speed.per_token)


def _workload(request: ChatRequest) -> Workload:
    return WORKLOADS[re.search(r"Workload (\w+):", json.dumps(request.body))[1]]  # type: ignore[index]


def _form(request: ChatRequest) -> tuple[str, bool]:
    """The form that the prompt asks for, and whether it is for a plan."""
    text = json.dumps(request.body["messages"])
    if request.is_planner or request.is_joiner:
        form = request.model.removeprefix("llm-compiler-")
        return form if form in PLANS else "paper", request.is_planner
    if "Given a user query, create a plan" in text:
        return "llmcompiler" if "**Tool Name**" in text else "llama_index", True
    return "llmcompiler" if "_finish_" in text else "llama_index", False


def _arguments(call: Call) -> dict[str, Any]:
    # As a model that sees a result would pass on what matters of it.
    values = [str(1000 + 7 * number) for number in call.needs]
    return {"query": call.text, "context": values} if values else {"query": call.text}


def _next_calls(request: ChatRequest, workload: Workload) -> list[Call]:
    """What a model that calls tools itself calls next: all that it can, or one call after another."""
    results = sum(1 for message in request.messages if message.get("role") == "tool")
    if request.model == "react":
        return list(workload.calls[results : results + 1])
    made = 0
    for step in workload.steps():
        if made == results:
            return step
        made += len(step)
    return []


def record(exchange: Exchange) -> dict[str, Any]:
    """The sizes of a model call by one tokenizer for all, and how late the server was."""
    request, reply = exchange.request, exchange.reply
    due = request.received + reply.first_token
    last = due + max(0, len(reply.tokens) - 1) * reply.per_token
    return {
        "model": request.model,
        "state": exchange.state,
        "received": request.received,
        "input": len(tokens_of(_prompt(request))),
        "output": len(reply.tokens),
        "first_late": exchange.first_token_at - due if exchange.first_token_at else None,
        "last_late": exchange.ended_at - last if exchange.finished and exchange.ended_at else None,
    }


def _prompt(request: ChatRequest) -> str:
    """All that the model is given to read: messages, the calls in them, and the descriptions of tools."""
    parts = [json.dumps(tool, ensure_ascii=False) for tool in request.body.get("tools", ())]
    for message in request.messages:
        content = message.get("content") or ""
        parts.append(content if isinstance(content, str) else "".join(block.get("text", "") for block in content))
        parts += [
            f"{call['function']['name']}{call['function']['arguments']}" for call in message.get("tool_calls") or ()
        ]
    return "\n".join(parts)


@contextmanager
def without_delay() -> Iterator[None]:
    """Sockets made within send at once. By default the second small packet of a reply, which has its body if it isn't
    streamed, waits for the first one's acknowledgement, and that takes 40 ms."""
    create = socket.create_server

    def create_server(*arguments: Any, **options: Any) -> socket.socket:
        listener = create(*arguments, **options)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # those that it accepts inherit it
        return listener

    with patch.object(socket, "create_server", create_server):
        yield


def main() -> None:
    """Serve until standard input ends."""
    speed = Speed(float(sys.argv[1]), float(sys.argv[2]))
    with without_delay(), ModelServer(keep_alive=True, handler=lambda request: answer(request, speed)) as server:
        print(server.base_url, flush=True)  # noqa: T201
        told = 0
        for _ in sys.stdin:
            exchanges = server.exchanges[told:]
            told += len(exchanges)
            try:
                server.check()
                problem = ""
            except AssertionError as error:
                problem = str(error)
            calls = [record(exchange) for exchange in exchanges]
            print(json.dumps({"calls": calls, "problem": problem}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
