"""Chat models by name."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_openai import ChatOpenAI

from agent import PROVIDERS, Context, ModelError, create_llm_compiler, default_model, load_model
from agent.models import DEFAULT_OPENAI_MODEL, Models
from tests.support.model_server import ModelServer


def len_of(text: str) -> int:
    """the length"""
    return len(text)


def fake(name: str) -> FakeListChatModel:
    return FakeListChatModel(responses=[name])


@pytest.fixture(autouse=True)
def only_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one provider that is registered, besides those that are built in, is `mine`."""
    for provider in list(PROVIDERS):
        monkeypatch.delitem(PROVIDERS, provider)
    monkeypatch.setitem(PROVIDERS, "mine", fake)


# --- the default


def test_the_variable_for_the_model_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MODEL", "mine:large")
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    assert default_model() == "mine:large"


def test_with_a_key_the_default_is_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    assert default_model() == DEFAULT_OPENAI_MODEL


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_the_default_is_the_first_of_ones_own(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setitem(PROVIDERS, "another", fake)
    assert default_model() == "mine"


def test_without_anything_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PROVIDERS, "mine")
    with pytest.raises(ModelError, match="Set OPENAI_API_KEY, or LLM_COMPILER_MODEL"):
        default_model()


# --- as an object


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (fake("any").bind(temperature=0), r"\w*Binding"),
        (fake("any").with_retry(), "RunnableRetry"),
        (fake("any").with_fallbacks([fake("other")]), "RunnableWithFallbacks"),
        (FakeListChatModel, "FakeListChatModel"),
    ],
)
def test_what_is_no_chat_model_is_refused_with_what_to_do_instead(model: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=rf"planner_model is a {kind}, no chat model\. .* \(temperature=…"):
        create_llm_compiler([len_of], planner_model=model)


# --- by name


def test_a_model_object_is_returned_as_it_is() -> None:
    model = fake("x")
    assert load_model(model) is model


@pytest.mark.parametrize(("name", "rest"), [("mine:large", "large"), ("mine", ""), ("mine:a:b", "a:b")])
def test_a_provider_of_ones_own_gets_the_name_behind_the_colon(name: str, rest: str) -> None:
    model = load_model(name)
    assert isinstance(model, FakeListChatModel)
    assert model.responses == [rest]


def test_a_model_is_made_once() -> None:
    assert load_model("mine:once") is load_model("mine:once")


def test_a_run_has_a_model_that_is_there_at_once() -> None:
    model = load_model("mine:here")
    getting = Models("mine:here").planner(Context())
    with pytest.raises(StopIteration) as had:  # which ends a coroutine that waits for nothing
        getting.send(None)
    assert had.value.value is model


@pytest.mark.parametrize("name", ["gpt-4.1-mini", "openai:", "", "nobody"])
def test_a_name_without_a_model_is_refused_with_the_form(name: str) -> None:
    with pytest.raises(ModelError, match=f"'{name}' names no model; the form is provider:model"):
        load_model(name)


def test_openai_without_a_key_says_what_to_set() -> None:
    with pytest.raises(ModelError, match=r"openai:gpt-4.1 needs OPENAI_API_KEY"):
        load_model("openai:gpt-4.1")


def test_openai_with_a_key_is_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    model = load_model("openai:gpt-4.1")
    assert isinstance(model, ChatOpenAI)
    assert model.model_name == "gpt-4.1"


async def test_a_server_of_ones_own_needs_no_key(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    model_server.script("Hello.")
    assert (await load_model("openai:local").ainvoke("Hi")).text == "Hello."


def test_an_address_that_is_set_to_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    model = load_model("openai:gpt-4.1-mini")
    assert isinstance(model, ChatOpenAI)
    assert str(model.root_client.base_url) == "https://api.openai.com/v1/"


def test_a_change_of_the_server_makes_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    before = load_model("openai:local")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:2/v1")
    assert load_model("openai:local") is not before


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(ModelError, match=r"nosuch:large can't be used: .*nosuch"):
        load_model("nosuch:large")


@pytest.mark.parametrize(("provider", "package"), [("anthropic", "anthropic"), ("nvidia", "nvidia-ai-endpoints")])
def test_a_missing_package_of_a_provider_is_named(provider: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"langchain_{package.replace('-', '_')}", None)
    with pytest.raises(ModelError, match=f"'{provider}' needs its package: .*pip install langchain-{package}`?$"):
        load_model(f"{provider}:x")


def test_without_langchain_other_providers_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(ModelError, match=r"pip install langchain langchain-anthropic\. .* there are: openai, mine"):
        load_model("anthropic:claude")


def test_a_missing_key_of_another_provider_is_reported() -> None:
    with pytest.raises(ModelError, match=r"azure_openai:x can't be used: .*AZURE_OPENAI"):
        load_model("azure_openai:x")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("OPENAI_API_BASE", "http://127.0.0.1:abc/v1", "Invalid port: 'abc'"),
        ("SSL_CERT_FILE", "/nowhere.pem", "[Errno 2] No such file or directory"),
        ("all_proxy", "socks://127.0.0.1:9", "Value error, Unknown scheme for proxy URL URL('socks://127.0.0.1:9')"),
    ],
)
def test_a_setting_with_which_no_client_can_be_made_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.delenv("SSL_CERT_DIR")
    # Clients are kept, by their address.
    monkeypatch.setenv("OPENAI_API_BASE", f"http://127.0.0.1:9/{name}")
    monkeypatch.setenv(name, value)
    with pytest.raises(ModelError) as raised:
        load_model("openai:large")
    told = str(raised.value)
    assert told.startswith(f"openai:large can't be used: {why} (Its client reads OPENAI_API_BASE")
    assert told.endswith(f"{name}; look at what is in there.)")


def test_a_key_that_was_copied_with_other_characters_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-…")
    with pytest.raises(ModelError, match="OPENAI_API_KEY is no key: it has '…' in it"):
        load_model("openai:large")


# --- which model a node uses


@pytest.mark.parametrize(
    ("made_with", "context", "planner", "joiner"),
    [
        ({"model": "mine:g"}, {}, "g", "g"),
        ({"model": "mine:g", "planner_model": "mine:gp"}, {}, "gp", "g"),
        ({"model": "mine:g", "joiner_model": "mine:gj"}, {}, "g", "gj"),
        ({"model": "mine:g"}, {"model": "mine:c"}, "c", "c"),
        ({"planner_model": "mine:gp"}, {"model": "mine:c"}, "c", "c"),
        ({"model": "mine:g"}, {"planner_model": "mine:cp"}, "cp", "g"),
        ({"model": "mine:g"}, {"model": "mine:c", "joiner_model": "mine:cj"}, "c", "cj"),
        ({"model": "mine:g"}, {"model": ""}, "g", "g"),
    ],
)
async def test_the_context_comes_before_the_graph_and_the_role_before_the_model(
    made_with: dict[str, Any], context: dict[str, Any], planner: str, joiner: str
) -> None:
    models = Models(**made_with)
    assert await models.planner(Context(**context)) is load_model(f"mine:{planner}")
    assert await models.joiner(Context(**context)) is load_model(f"mine:{joiner}")


async def test_the_models_of_the_graph_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MODEL", "mine:environment")
    models = Models(fake("x"))
    assert (await (await models.planner(Context())).ainvoke("Hi")).text == "x"
    assert await models.joiner(Context()) is await models.planner(Context())
    assert await Models().planner(Context()) is load_model("mine:environment")


@pytest.mark.parametrize("role", ["planner", "joiner"])
async def test_the_environment_may_name_a_model_for_each_role(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MODEL", "mine:both")
    monkeypatch.setenv(f"LLM_COMPILER_{role.upper()}_MODEL", "mine:role")
    model: BaseChatModel = await getattr(Models(), role)(Context())
    assert model is load_model("mine:role")


async def test_a_model_is_looked_up_when_it_is_used() -> None:
    models = Models("openai:gpt-4.1")
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        await models.planner(Context())


async def test_a_stream_that_is_cancelled_as_a_piece_comes_is_at_its_end() -> None:
    """Python 3.11's `asyncio.wait_for`, in which langchain-openai waits for a piece, forgets the cancelling then."""

    class Pieces(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for number in range(3):
                if number == 1:
                    reading.cancel()
                yield b'data: {"choices": [{"index": 0, "delta": {"content": "%d"}}]}\n\n' % number

    async def read() -> None:
        nonlocal heard
        async for piece in (await models.planner(Context())).astream("Hi"):
            heard += [piece.text]

    heard: list[str] = []
    events = {"Content-Type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=events, stream=Pieces()))
    async with httpx2.AsyncClient(transport=transport) as client:
        models = Models(ChatOpenAI(model="x", api_key="key", http_async_client=client))  # type: ignore[arg-type]
        reading = asyncio.create_task(read())
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert heard == ["0"]
