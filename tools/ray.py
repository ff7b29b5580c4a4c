"""`on_ray`: a tool whose calls run on a Ray cluster, with its cores, memory and GPUs.

    TOOLS = [on_ray(simulate, num_cpus=2), on_ray(render, num_gpus=1)]

The cluster is the one that `RAY_ADDRESS` names (`host:6379`, `ray://host:10001`, `auto`); without it, Ray starts on
this machine at the first call. Call `ray.init(…)` yourself before that to set more. Needs the extra `ray`.
"""

import asyncio
import inspect
import logging
import os
import socket
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langchain_core.tools import tool as as_tool

NOT_INSTALLED = "{tool} needs Ray, which is not installed: run `pip install ray`."
CANNOT_TRAVEL = (
    "on_ray: {tool} wants {names} injected, which stays in this process. Take it out of the function that runs on Ray, "
    "or leave this tool here."
)
NOT_THERE = "Ray can't be reached at {address} (RAY_ADDRESS): {error}"
NOWHERE = "{tool} has waited for {wanted}, which no node of the Ray cluster has."
LOST = "The Ray worker or node that ran {tool} died: {error}"

_LEFT_TO_LANGCHAIN = ("run_manager", "callbacks")
_starting = Lock()
_logger = logging.getLogger(__name__)


def on_ray(
    tool: BaseTool | Callable[..., Any],
    *,
    num_cpus: float = 1,
    num_gpus: float = 0,
    memory: int | None = None,
    resources: Mapping[str, float] | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    max_retries: int = 0,
) -> BaseTool:
    """The same tool, with each call a Ray task (https://docs.ray.io/en/latest/ray-core/tasks.html).

    A call that is cancelled or takes too long is really ended: its process is killed, and its cores are free at once.
    What the tool raises is raised here. A worker or node that dies is a `ConnectionError`, which the agent tries again,
    unless the tool has `metadata["side_effects"]`.

    Args:
        tool: A LangChain tool, or a function with type hints and a docstring, sync or async. Where the workers don't
            have its module, `runtime_env={"working_dir": "."}` brings it.
        num_cpus: Cores that a call needs; it waits until they are free.
        num_gpus: GPUs that a call needs.
        memory: Bytes of memory that a call needs.
        resources: The cluster's own resources that a call needs, by name.
        runtime_env: What the worker needs: packages, files, environment variables (Ray's `runtime_env`).
        max_retries: How often Ray itself makes the call again when its worker has died.

    Raises:
        TypeError: The tool wants something injected that can't be sent to another process.
    """
    tool = tool if isinstance(tool, BaseTool) else as_tool(tool)
    name, function = tool.name, _function_of(tool)
    known = {*tool.args, *_LEFT_TO_LANGCHAIN}
    if untold := [one for one in inspect.signature(function).parameters.values() if _is_named(one, known)]:
        raise TypeError(CANNOT_TRAVEL.format(tool=name, names=", ".join(one.name for one in untold)))
    options = {
        "name": name,
        "num_cpus": num_cpus,
        "num_gpus": num_gpus,
        "memory": memory,
        "resources": dict(resources or {}),
        "runtime_env": dict(runtime_env or {}),
        "max_retries": max_retries,
    }

    def call(arguments: dict[str, Any]) -> Any:
        try:
            returned = function(**arguments)
            return asyncio.run(returned) if inspect.iscoroutine(returned) else returned
        except Exception as error:
            from ray import cloudpickle

            try:
                cloudpickle.loads(cloudpickle.dumps(error))
            except Exception:  # noqa: BLE001 — it can't be sent: its words are
                raise RuntimeError(f"{type(error).__name__}: {error}") from None
            raise

    async def run(**arguments: Any) -> Any:
        submitting = asyncio.create_task(asyncio.to_thread(_submit, call, options, arguments))
        try:
            return await _result(name, await asyncio.shield(submitting))
        except asyncio.CancelledError:
            await asyncio.wait([submitting])
            if not submitting.exception():
                await asyncio.gather(asyncio.to_thread(_end, submitting.result(), options), return_exceptions=True)
            raise

    return StructuredTool(
        name=name,
        description=tool.description,
        args_schema=tool.args_schema or tool.get_input_schema(),
        coroutine=run,
        **{field: getattr(tool, field) for field in _KEPT},
    )


_KEPT = ("metadata", "tags", "response_format", "return_direct", "handle_tool_error", "handle_validation_error")


def _function_of(tool: BaseTool) -> Callable[..., Any]:
    own: Callable[..., Any] | None = getattr(tool, "func", None) or getattr(tool, "coroutine", None)
    if own:
        return own
    return tool._run if type(tool)._arun is BaseTool._arun else tool._arun


def _is_named(parameter: inspect.Parameter, known: set[str]) -> bool:
    return parameter.name not in known and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def _submit(call: Callable[..., Any], options: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """The reference to the result of a call. Blocks: Ray may have to be started."""
    try:
        import ray
    except ImportError as error:
        raise ToolException(NOT_INSTALLED.format(tool=options["name"])) from error
    with _starting:
        if not ray.is_initialized():
            _look_for(os.environ.get("RAY_ADDRESS", ""))
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do by default, unwarned
            ray.init(log_to_driver=False, logging_level=logging.WARNING)
    return ray.remote(call).options(**options).remote(arguments)


def _look_for(address: str) -> None:
    """See that somebody listens at `host:port`: Ray would try for minutes, and not tell.

    Raises:
        ConnectionError: Nobody does.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in address:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError as error:
            raise ConnectionError(NOT_THERE.format(address=address, error=error)) from error


async def _result(tool: str, reference: Any) -> Any:
    """What the call returns, or raises."""
    from ray import exceptions

    try:
        return await reference
    except exceptions.RayTaskError as error:
        raise error.cause from None
    except (
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.LocalRayletDiedError,
        exceptions.ObjectLostError,
    ) as error:
        raise ConnectionError(LOST.format(tool=tool, error=str(error).partition("\n")[0])) from error


def _end(reference: Any, options: Mapping[str, Any]) -> None:
    """End a call, and say so if it could not have begun."""
    import ray

    ray.cancel(reference, force=True)
    needs = {
        "CPU": options["num_cpus"],
        "GPU": options["num_gpus"],
        "memory": options["memory"],
        **options["resources"],
    }
    wanted = {name: amount for name, amount in needs.items() if amount}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        _logger.warning(NOWHERE.format(tool=options["name"], wanted=wanted))
