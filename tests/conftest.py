"""What every test stands on: a scripted model server, no network, and none of the developer's environment."""

import gc
import ipaddress
import os
import re
import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.support import PATIENCE, prepared_python

if TYPE_CHECKING:  # the process that hands tests out to others runs none, and would import for as long as fifty take
    from langchain_openai import ChatOpenAI

    from tests.support.model_server import ModelServer

pytest_plugins = ["tests.support.databases"]

hypothesis.settings.register_profile("test", deadline=None, max_examples=50)  # a busy machine is no failure
hypothesis.settings.register_profile("torture", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("test")

_OF_THE_MACHINE = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ|TMPDIR|TEMP|TMP|CI|BUILD_NUMBER"
    r"|(LD|DYLD)_LIBRARY_PATH|(PYTEST|COVERAGE|COV)_\w+|PREPARED_PYTHON|RANDOM_PLANS"
)
"""Environment variables that tests see. Others may change what the project, its libraries or its terminal output do."""


def forget_environment() -> None:
    """Takes away what a developer's shell sets, the language too."""
    for name in os.environ.keys() - set(filter(_OF_THE_MACHINE.fullmatch, os.environ)):
        del os.environ[name]
    os.environ["LANG"] = "C.UTF-8"


@pytest.hookimpl(trylast=True)  # what is set for pytest has been read
def pytest_configure(config: pytest.Config) -> None:
    """Starts the Python that is prepared; the processes in which tests run in parallel are made by it, and share it."""
    forget_environment()  # before anything is imported that would remember it
    gc.set_threshold(50_000, 10, 10)  # as in apps/server: what is imported is much to look through
    if not hasattr(config, "workerinput"):
        started = ExitStack()
        started.enter_context(prepared_python.running())
        config.add_cleanup(started.close)
        config.option.tx = [f"popen//python={shlex.join(prepared_python.prepared())}" for _ in config.option.tx]


def pytest_collection_finish() -> None:
    """What is there before the first test stays, and need not be looked through again for garbage."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def tests_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What all tests start from."""
    # All is on this machine, and each HTTP client would read 300 kB of certificates.
    os.environ["SSL_CERT_DIR"] = str(tmp_path_factory.mktemp("certificates"))
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))  # for threads that nobody names a place for
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"  # the project's .env has more of what a shell sets
    os.environ["DEMO_LATENCY"] = "0"  # demo


@pytest.fixture(autouse=True)
def kept_environment(tests_environment: None) -> Iterator[None]:
    """Puts back the environment as it was before a test."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def patient_nodes() -> Iterator[None]:
    """Planner and executor wait for each other, for what a model says last, and for the end of what they cancel,
    however slow the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.handover.ARRIVAL_TIMEOUT", PATIENCE)
        patch.setattr("agent.planner.node.USAGE_TIMEOUT", PATIENCE)
        patch.setattr("agent.planner.node.CLOSING_TIMEOUT", PATIENCE)
        patch.setattr("agent.planner.node.SILENCE", PATIENCE)
        patch.setattr("agent.tooling.invoke.STOPPING_SECONDS", PATIENCE)
        yield


class NetworkBlockedError(OSError):
    """A test reached for something beyond this machine."""

    def __init__(self, target: object) -> None:
        super().__init__(f"Tests may not use the network; this one reached for {target!r}.")


@pytest.fixture(scope="session")
def _network_attempts() -> Iterator[list[object]]:
    """Refuses connections and name lookups beyond loopback; yields their targets."""
    attempts: list[object] = []

    def guard(target: object) -> None:
        attempts.append(target)
        raise NetworkBlockedError(target)

    def guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                guard(address)
            return connect(self, address)

        return call

    lookup = socket.getaddrinfo

    def guarded_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and _address(name) is None and name != "localhost":
            guard(name)
        return lookup(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", guarded_lookup)
        yield attempts


@pytest.fixture(autouse=True)
def network_attempts(_network_attempts: list[object]) -> Iterator[list[object]]:
    """The targets beyond this machine that the test has reached for, without success. It fails for them; one that is
    about a missing network clears the list."""
    _network_attempts.clear()
    yield _network_attempts
    assert not _network_attempts, f"the test reached for the network: {_network_attempts}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


@pytest.fixture(scope="session")
def _running_model_server() -> "Iterator[ModelServer]":
    from tests.support.model_server import ModelServer

    with ModelServer() as server:
        yield server


@pytest.fixture
def model_server(_running_model_server: "ModelServer") -> "Iterator[ModelServer]":
    """The scripted model. The test fails on a request that it did not script, and on a reply never used."""
    yield _running_model_server
    try:
        _running_model_server.check()
    finally:
        _running_model_server.reset()


@pytest.fixture
def make_chat_model(model_server: "ModelServer") -> "Callable[..., ChatOpenAI]":
    """Makes real clients of the model server: `make_chat_model(max_retries=2)`; any option of ChatOpenAI."""
    return partial(_client_of, model_server)


@pytest.fixture(scope="session")
def _client(_running_model_server: "ModelServer") -> "ChatOpenAI":
    return _client_of(_running_model_server)


@pytest.fixture
def chat_model(model_server: "ModelServer", _client: "ChatOpenAI") -> "ChatOpenAI":
    """A real client of the model server that asks for usage and does not try again. All tests have the same."""
    return _client


def _client_of(server: "ModelServer", **options: Any) -> "ChatOpenAI":
    from langchain_openai import ChatOpenAI

    defaults: dict[str, Any] = {
        "base_url": server.base_url,
        "api_key": "test",
        "model": "test-model",
        "max_retries": 0,
        "stream_usage": True,
    }
    return ChatOpenAI(**{**defaults, **options})
