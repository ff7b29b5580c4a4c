"""The search tool: its corpus, what finds an entry and what doesn't, and the live sources against local servers."""

import asyncio
import importlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from langchain_core.tools import BaseTool, ToolException

from tests.support import free_port
from tools import TOOLS
from tools.search import CORPUS, MAX_CHARS, SOURCES, search

ENTRIES: list[dict[str, Any]] = json.loads(CORPUS.read_text(encoding="utf-8"))
TEXTS: dict[str, str] = {entry["title"]: entry["text"] for entry in ENTRIES}


async def find(query: str) -> str:
    return str(await search.ainvoke({"query": query}))


# ---- The corpus --------------------------------------------------------------------------------------------------


def test_the_corpus_has_many_entries_with_titles_of_their_own() -> None:
    assert len(ENTRIES) >= 150
    assert len({title.casefold() for title in TEXTS}) == len(ENTRIES)


def test_the_entries_are_short_and_name_their_titles() -> None:
    for entry in ENTRIES:
        assert set(entry) <= {"title", "aliases", "text"}
        assert entry["title"].partition(" (")[0].casefold() in entry["text"].casefold()
        assert 20 < len(entry["text"]) <= 400
        assert entry["text"].endswith(".")


def test_the_entries_have_no_slip_of_the_pen() -> None:
    slip = re.compile(r"  | [,.]|\.\.|^\s|\s$|\ba [aeio](?!ne)\w+|\ban [^aeiouA-Z]\w+")
    assert not [entry["text"] for entry in ENTRIES if slip.search(entry["text"])]


async def test_every_entry_is_found_by_its_title_whatever_its_case() -> None:
    for title in TEXTS:
        assert await find(title.swapcase()) == TEXTS[title]


async def test_every_entry_is_found_by_a_question_for_its_figures() -> None:
    for title in TEXTS:
        question = f"What is the length of the {title} in kilometers?"
        assert await find(question) == TEXTS["RMS Titanic" if "Titanic" in title else title]


async def test_an_alias_finds_an_entry_that_has_it() -> None:
    for entry in ENTRIES:
        for alias in entry.get("aliases", []):
            having = [other["text"] for other in ENTRIES if alias in (other["title"], *other.get("aliases", []))]
            titled = [other["text"] for other in ENTRIES if other["title"].partition(" (")[0] == alias]
            assert await find(alias) in having + titled


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("K2", "K2"),
        ("the Nile", "Nile River"),
        ("Amazon", "Amazon River"),
        ("Amazon forest", "Amazon Rainforest"),
        ("Congo Forest", "Congo Rainforest"),
        ("population of the Congo", "Democratic Republic of the Congo"),
        ("Everest", "Mount Everest"),
        ("Mt. Everest elevation", "Mount Everest"),
        ("height of Mount Everest", "Mount Everest"),
        ("Mount Kilimanjaro height in meters", "Mount Kilimanjaro"),
        ("Mariana Trench depth", "Mariana Trench"),
        ("how deep is the Puerto Rico Trench?", "Puerto Rico Trench"),
        ("Statue of Liberty", "Statue of Liberty"),
        ("Great Wall", "Great Wall of China"),
        ("gold (element)", "Gold"),
        ("mercury", "Mercury (planet)"),
        ("density of mercury", "Mercury (element)"),
        ("Iguaçu", "Iguazu Falls"),
        ("Sao Paulo population", "São Paulo"),
        ("cheetahs", "Cheetah"),
        ("Einstein birth year", "Albert Einstein"),
        ("New York", "New York"),
        ("New York City population", "New York City"),
        ("Washington DC", "Washington, D.C."),
        ("USA population", "United States"),
        ("Economy of the United States", "United States"),
        ("GDP per capita of Germany in US dollars", "Germany"),
        ("Vietnam population latest census", "Vietnam"),
        ("length of the Titanic", "RMS Titanic"),
        ("Titanic budget", "Titanic (film)"),
        ("The Silence of the Lambs (film)", "The Silence of the Lambs"),
        ("Star Wars Episode IV - A New Hope", "Star Wars"),
    ],
)
async def test_what_people_write_finds_the_entry(query: str, title: str) -> None:
    assert await find(query) == TEXTS[title]


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("highest mountain in the world", "Mount Everest"),
        ("second highest mountain in the world", "K2"),
        ("highest mountain in Africa", "Mount Kilimanjaro"),
        ("tallest building in the world", "Burj Khalifa"),
        ("largest country in South America", "Brazil"),
        ("deepest trench", "Mariana Trench"),
        ("largest planet", "Jupiter"),
        ("fastest land animal", "Cheetah"),
        ("who painted the Mona Lisa", "Leonardo da Vinci"),
    ],
)
async def test_a_description_finds_the_entry(query: str, title: str) -> None:
    assert await find(query) == TEXTS[title]


@pytest.mark.parametrize(
    "query",
    [
        "zxqv",
        "",
        "the",
        "?!",
        "height in metres",
        "Mount Doom",
        "Tower of Babel",
        "Statue of Zeus",
        "King Kong",
        "Paris Hilton",
        "Michael Jordan",
        "population of Wakanda",
        "population of Islamabad",
        "Gulf of Mexico",
        "Rocky Mountains height",
        "recipe for apple pie",
    ],
)
async def test_a_query_that_nothing_fits_is_refused(query: str) -> None:
    with pytest.raises(ToolException, match=re.escape(f"No entry fits {query!r}. Search for")):
        await find(query)


async def test_concurrent_first_searches_build_one_index(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("tools.search")
    counted = module.cache(module._Corpus)
    monkeypatch.setattr(module, "_corpus", counted)
    first = list(TEXTS)[:20]
    found = await asyncio.gather(*(find(title) for title in first))
    assert found == [TEXTS[title] for title in first]
    assert counted.cache_info().misses == 1


# ---- The tool ----------------------------------------------------------------------------------------------------


def test_the_tools_are_search_and_math() -> None:
    assert all(isinstance(tool, BaseTool) for tool in TOOLS)
    assert [tool.name for tool in TOOLS] == ["search", "math", "argmax", "argmin"]


def test_the_tool_takes_a_query_and_has_one_line_of_description() -> None:
    assert search.args == {"query": {"title": "Query", "type": "string"}}
    assert search.description == "the encyclopedia entry that fits the query best"


def test_the_import_is_light_and_a_search_gives_no_warning() -> None:
    script = """if True:
        import asyncio, sys, tools
        assert not {"agent", "langchain_community", "rank_bm25"} & sys.modules.keys()
        print(asyncio.run(tools.search.ainvoke({"query": "K2"})))"""
    python = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(python, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (TEXTS["K2"], "")


async def test_a_source_runs_in_a_thread_and_is_chosen_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("tools.search")
    monkeypatch.setitem(SOURCES, "mine", (lambda query: module.Entry(query, threading.current_thread().name), "mine"))
    monkeypatch.setenv("SEARCH", "mine")
    assert await find("Atlantis") != f"Atlantis: {threading.current_thread().name}"
    monkeypatch.setenv("SEARCH", "")
    assert await find("K2") == TEXTS["K2"]


async def test_an_unknown_source_is_refused_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH", "AltaVista")
    with pytest.raises(ToolException, match=r"'altavista' is not a source.*corpus, wikipedia, tavily, duckduckgo"):
        await find("K2")


@pytest.mark.parametrize("key", [None, ""])
async def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    monkeypatch.setenv("SEARCH", "tavily")
    if key is not None:
        monkeypatch.setenv("TAVILY_API_KEY", key)
    with pytest.raises(ToolException, match=r"SEARCH=tavily needs a key: set .* TAVILY_API_KEY"):
        await find("K2")


@pytest.mark.parametrize(
    ("source", "module", "package"),
    [
        ("wikipedia", "wikipedia", "langchain-community wikipedia"),
        ("wikipedia", "langchain_community.utilities", "langchain-community wikipedia"),
        ("tavily", "langchain_tavily", "langchain-tavily"),
        ("duckduckgo", "ddgs", "langchain-community ddgs"),
    ],
)
async def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, source: str, module: str, package: str
) -> None:
    monkeypatch.setenv("SEARCH", source)
    monkeypatch.setenv("TAVILY_API_KEY", "key")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ToolException, match=f"SEARCH={source} needs a package .*`pip install {package}`"):
        await find("K2")


# ---- Live sources ------------------------------------------------------------------------------------------------

Answer = Callable[[str, str], str]
"""From a request's target and body to the body of the answer."""


@contextmanager
def http_server(answer: Answer, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            body = answer(self.path, sent).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 (the base class looks for that name)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def wikipedia(found: list[str], summary: str) -> Answer:
    """MediaWiki's API: `found` are the titles that a search finds; those with brackets are disambiguations."""

    def answer(target: str, _: str) -> str:
        assert target.startswith("http://en.wikipedia.org/w/api.php?")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        if asked.get("list") == "search":
            return json.dumps({"query": {"search": [{"title": title} for title in found]}})
        title = asked["titles"]
        page: dict[str, Any] = {"pageid": 1, "title": title, "fullurl": "https://en.wikipedia.org/wiki/X"}
        if asked["prop"] == "revisions":
            page["revisions"] = [{"*": "<ul><li><a>One</a></li></ul>"}]
        elif "extracts" in asked["prop"]:
            page |= {"extract": summary, "revisions": [{"revid": 1, "parentid": 0}]}
        elif "(" in title:
            page["pageprops"] = {"disambiguation": ""}
        return json.dumps({"query": {"pages": {"1": page}}})

    return answer


async def test_wikipedia_gives_the_first_page_that_is_no_disambiguation(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = "Lake Como is a lake in Italy. " + "It is deep. " * 500
    monkeypatch.setenv("SEARCH", "wikipedia")
    with http_server(wikipedia(["Como (disambiguation)", "Lake Como"], summary)) as address:
        monkeypatch.setenv("http_proxy", address)
        found = await find("Como")
    assert found.startswith("Lake Como is a lake in Italy. It is deep.")
    assert found.endswith(" …")
    assert len(found) <= MAX_CHARS


async def test_a_page_that_does_not_name_its_title_is_given_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH", "wikipedia")
    with http_server(wikipedia(["Lake Como"], "It is a lake.")) as address:
        monkeypatch.setenv("http_proxy", address)
        assert await find("Lake Como") == "Lake Como: It is a lake."


async def test_wikipedia_without_a_page_is_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH", "wikipedia")
    with http_server(wikipedia([], "")) as address:
        monkeypatch.setenv("http_proxy", address)
        with pytest.raises(ToolException, match="No entry fits 'zxqv'"):
            await find("zxqv")


def tavily(*pages: dict[str, str]) -> Answer:
    def answer(target: str, sent: str) -> str:
        assert target == "/search"
        assert json.loads(sent)["query"] == "K2"
        return json.dumps({"query": "K2", "results": pages})

    return answer


def serve_tavily(monkeypatch: pytest.MonkeyPatch, answer: Answer, status: int = 200) -> AbstractContextManager[str]:
    monkeypatch.setenv("SEARCH", "tavily")
    monkeypatch.setenv("TAVILY_API_KEY", "tvly-secret")

    @contextmanager
    def serve() -> Iterator[str]:
        with http_server(answer, status) as address:
            monkeypatch.setattr("langchain_tavily._utilities.TAVILY_API_URL", address)
            yield address

    return serve()


async def test_tavily_gives_the_best_page(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_tavily(monkeypatch, tavily({"title": "The savage mountain", "content": "K2 is 8,611 m high."})):
        assert await find("K2") == "The savage mountain: K2 is 8,611 m high."


async def test_tavily_without_a_page_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_tavily(monkeypatch, tavily()), pytest.raises(ToolException, match="No search results found for 'K2'"):
        await find("K2")


async def test_a_refused_key_is_reported_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: str) -> str:
        return json.dumps({"detail": {"error": "Unauthorized: invalid API key."}})

    with serve_tavily(monkeypatch, answer, 401), pytest.raises(ToolException) as caught:
        await find("K2")
    assert str(caught.value) == ("The source tavily gave no answer to 'K2': Error 401: Unauthorized: invalid API key.")


def duckduckgo(*pages: tuple[str, str]) -> Answer:
    def answer(_: str, sent: str) -> str:
        assert parse_qs(sent)["q"] == ["K2"]
        body = "<div class='links_main result__body'><h2>{}</h2><a href='https://a.example'>{}</a></div>"
        return f"<html><body>{''.join(body.format(*page) for page in pages)}</body></html>"

    return answer


async def test_duckduckgo_gives_the_best_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH", "duckduckgo")
    with http_server(duckduckgo(("K2 - A mountain", "It is 8,611 m high."))) as address:
        monkeypatch.setattr("ddgs.engines.duckduckgo.Duckduckgo.search_url", address)
        assert await find("K2") == "K2 - A mountain: It is 8,611 m high."


async def test_duckduckgo_without_a_page_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH", "duckduckgo")
    with http_server(duckduckgo()) as address:
        monkeypatch.setattr("ddgs.engines.duckduckgo.Duckduckgo.search_url", address)
        with pytest.raises(ToolException, match="source duckduckgo gave no answer to 'K2': No results found"):
            await find("K2")


@pytest.mark.parametrize("source", ["wikipedia", "tavily", "duckduckgo"])
async def test_a_source_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("SEARCH", source)
    monkeypatch.setenv("TAVILY_API_KEY", "tvly-secret")
    monkeypatch.setenv("http_proxy", nobody)
    monkeypatch.setattr("langchain_tavily._utilities.TAVILY_API_URL", nobody)
    monkeypatch.setattr("ddgs.engines.duckduckgo.Duckduckgo.search_url", nobody)
    with pytest.raises(ToolException, match=f"The source {source} gave no answer to 'Lhotse': ") as caught:
        await find("Lhotse")
    assert "tvly-secret" not in str(caught.value)
