"""`on_ray`: a tool whose calls run on a Ray cluster, with its cores, memory and GPUs.

    TOOLS = [on_ray(simulate, num_cpus=2), on_ray(render, num_gpus=1)]

The cluster is the one that `RAY_ADDRESS` names (`host:6379`, `ray://host:10001`, `auto`); without it, Ray starts on
this machine at the first call. Call `ray.init(…)` yourself before that to set more. Needs the extra `ray`.
"""

import asyncio
import inspect
import logging
import os
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
LOST = "The Ray worker or node that ran {tool} died: {error}"

_LEFT_TO_LANGCHAIN = ("run_manager", "callbacks")
_starting = Lock()


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
        returned = function(**arguments)
        return asyncio.run(returned) if inspect.iscoroutine(returned) else returned

    async def run(**arguments: Any) -> Any:
        submitting = asyncio.create_task(asyncio.to_thread(_submit, call, options, arguments))
        try:
            return await _result(name, await asyncio.shield(submitting))
        except asyncio.CancelledError:
            await asyncio.wait([submitting])
            if not submitting.exception():
                await asyncio.to_thread(_end, submitting.result())
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
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do by default, unwarned
            ray.init(log_to_driver=False, logging_level=logging.WARNING)
    return ray.remote(call).options(**options).remote(arguments)


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


def _end(reference: Any) -> None:
    import ray

    ray.cancel(reference, force=True)
