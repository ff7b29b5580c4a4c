"""`search`: looks a thing up in the embedded corpus, or in the live source that the environment variable SEARCH names.

    SEARCH=corpus      (default) BM25 over tools/corpus.json: no key, no network
    SEARCH=wikipedia   the summary of a Wikipedia page
    SEARCH=tavily      the best page that Tavily finds; needs TAVILY_API_KEY
    SEARCH=duckduckgo  the best page that DuckDuckGo finds

A source is a blocking function from a query to an entry; it runs in a thread. Put one of your own into `SOURCES`.
For the offline model, the corpus may take as long as a source that goes out (see `tools.demo_latency`).
"""

import asyncio
import json
import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from textwrap import shorten
from threading import Lock
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException, tool

from tools.demo_latency import of_search

NO_ENTRY = "No entry fits {query!r}. Search for the plain name of one thing, such as a place, animal or person."
NO_SOURCE = "SEARCH={source!r} is not a source: set it to one of {sources}, or unset it."
NO_PACKAGE = "SEARCH={source} needs a package that is not installed: run `pip install {package}`. ({error})"
NO_KEY = "SEARCH={source} needs a key: set the environment variable {key}, or unset SEARCH to use the embedded corpus."
NO_ANSWER = "The source {source} gave no answer to {query!r}: {error}"

CORPUS = Path(__file__).with_name("corpus.json")
"""A list of `{"title": str, "text": str}`, some with `"aliases": list[str]`, other names that people look for."""

CANDIDATES = 40
"""How many entries of BM25's are looked at more closely."""

MAX_CHARS = 1500
"""How much of a live page is returned."""

_OUR_WORDS = {
    word: ours
    for ours, theirs in {
        "": "a about an and are at by capita census current data did do does estimate fact figure for from how imf in "
        "information is it its latest list many much nominal number of official on or per s tell the to total value "
        "was what when where which who",
        "area": "size surface",
        "born": "birth",
        "depth": "deep",
        "died": "death",
        "forest": "rainforest",
        "gdp": "economy",
        "height": "altitude elevation high tall",
        "kilometre": "kilometer km",
        "length": "long",
        "mass": "weigh weight",
        "metre": "meter",
        "mount": "mt",
        "speed": "fast",
    }.items()
    for word in theirs.split()
}
"""The corpus's word for what a query may call differently; none for what tells no entry from another."""

_MEASURES = {"area", "depth", "gdp", "height", "kilometre", "length", "mass", "metre", "population", "speed", "square"}


class Entry(NamedTuple):
    """What a source found."""

    title: str
    text: str


@tool(description="the encyclopedia entry that fits the query best")
async def search(query: str, *, config: RunnableConfig) -> str:
    """Look a thing up in the source that SEARCH names at the time of the call.

    Returns "title: text", or the text alone where it has the title. Raises ToolException when no entry fits, when the
    source is unknown or lacks its key or package, and when it can't be reached.
    """
    source = os.environ.get("SEARCH", "").lower() or "corpus"
    if source not in SOURCES:
        raise ToolException(NO_SOURCE.format(source=source, sources=", ".join(SOURCES)))
    model = config.get("configurable", {}).get("model")
    is_demo = source == "corpus" and getattr(model, "_llm_type", "") == "offline"
    found, _ = await asyncio.gather(
        asyncio.to_thread(_look_up, source, query),
        asyncio.sleep(of_search(query) if is_demo else 0),
        return_exceptions=True,  # a search that finds nothing takes as long
    )
    if isinstance(found, BaseException):
        raise found
    return found


def _look_up(source: str, query: str) -> str:
    # The filter stays, as taking it back would race with other threads. Sources import what they need when they run.
    warnings.filterwarnings("ignore", r"`langchain-community` is being sunset", DeprecationWarning)
    find, package = SOURCES[source]
    try:
        try:
            entry = find(query)
        except ImportError as error:
            if "partially initialized" not in str(error):
                raise
            entry = find(query)  # another thread imported the same package; it has done so by now
    except ToolException:
        raise
    except ImportError as error:
        raise ToolException(NO_PACKAGE.format(source=source, package=package, error=error)) from error
    except Exception as error:
        reason = shorten(str(error) or repr(error), 300, placeholder=" …")
        raise ToolException(NO_ANSWER.format(source=source, query=query, error=reason)) from error
    if entry is None:
        raise ToolException(NO_ENTRY.format(query=query))
    text = shorten(entry.text, MAX_CHARS, placeholder=" …")
    named = entry.title.partition(" (")[0].casefold() in text.casefold()
    return text if named else f"{entry.title}: {text}"


class _Article:
    """An entry, and the words that a query is compared with."""

    def __init__(self, title: str, text: str, aliases: Sequence[str] = ()) -> None:
        self.entry = Entry(title, text)
        # What a title has in brackets tells it from others, and is no part of the name.
        self.names = [set(_words(name)) for name in (title.partition(" (")[0], *aliases)]
        self.indexed = " ".join([title, *aliases] * 2 + [text])  # so that BM25 weighs names more
        self.words = set(_words(self.indexed))
        lower, capitalised = (set(_words(" ".join(re.findall(rf"\b{case}\w*", text)))) for case in ("[a-z]", "[A-Z]"))
        self.common = lower - capitalised - _MEASURES


class _Corpus:
    """BM25 orders the articles by the words of a query; the one that the query names or describes best is taken."""

    def __init__(self, path: Path) -> None:
        from langchain_community.retrievers import BM25Retriever

        articles = [_Article(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
        self._articles = {article.indexed: article for article in articles}
        self._retriever = BM25Retriever.from_texts(list(self._articles), preprocess_func=_words, k=CANDIDATES)
        self._rarity: dict[str, float] = self._retriever.vectorizer.idf
        self._unheard_of: float = max(self._rarity.values()) + 1

    def find(self, query: str) -> Entry | None:
        """The entry that fits best, or None."""
        asked = set(_words(query))
        articles = [self._articles[found.page_content] for found in self._retriever.invoke(query)]
        best = max(articles, key=lambda article: self._fit(asked, article))  # the first, so BM25's, of equals
        return best.entry if self._fit(asked, best) else None

    def _fit(self, asked: set[str], article: _Article) -> float:
        """The weight of the words by which the query names or describes the article; 0 when it is about another."""
        if not asked & article.words:
            return 0
        total = self._weight(asked)
        known = self._weight(asked & article.words) / total
        named = max(self._naming(asked, name, known) for name in article.names)
        called = named and any(asked <= name | _MEASURES for name in article.names)
        # The names in an article don't describe it: "population of Madrid" is not about Spain.
        described = asked <= article.words and asked & article.common and len(asked - _MEASURES) > 1
        return named + (total if called or described else 0)

    def _naming(self, asked: set[str], name: set[str], known: float) -> float:
        """The weight of the words that the query has of the name; 0 when too few, or when it has too many others."""
        shared = self._weight(asked & name)
        share = shared / self._weight(name)
        whole = name <= asked and len(name) > 1
        return shared * share if whole or (share >= 0.4 and known >= 1 - share / 2) else 0

    def _weight(self, words: set[str]) -> float:
        return sum(self._rarity.get(word, self._unheard_of) for word in sorted(words))


_corpus = cache(_Corpus)
_building = Lock()


def _from_corpus(query: str) -> Entry | None:
    with _building:
        corpus = _corpus(CORPUS)
    return corpus.find(query)


def _words(text: str) -> list[str]:
    """The words that count, without accents, case and plural; "second-highest" is one, and not the highest."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    plain = re.sub(r"\b(second|third|fourth|fifth)[ -](?=\w+est\b)", r"\1", plain)
    stems = ((word, re.sub(r"(?<=..[^su])s$", "", word)) for word in re.findall(r"[^\W_]+", plain))
    ours = (_OUR_WORDS.get(word, _OUR_WORDS.get(stem, stem)) for word, stem in stems)
    return [word for word in ours if word]


def _from_wikipedia(query: str) -> Entry | None:
    from langchain_community.utilities import WikipediaAPIWrapper

    warnings.filterwarnings("ignore", "No parser was explicitly specified")  # its client reads disambiguations so
    pages = WikipediaAPIWrapper(wiki_client=None).lazy_load(query)  # the first that is no disambiguation
    return next((Entry(page.metadata["title"], page.metadata["summary"]) for page in pages), None)


def _from_tavily(query: str) -> Entry | None:
    if not os.environ.get("TAVILY_API_KEY"):
        raise ToolException(NO_KEY.format(source="tavily", key="TAVILY_API_KEY"))
    from langchain_tavily import TavilySearch

    found: dict[str, Any] = TavilySearch(max_results=1, handle_tool_error=False).invoke({"query": query})
    if "error" in found:
        raise found["error"]
    return Entry(found["results"][0]["title"], found["results"][0]["content"])


def _from_duckduckgo(query: str) -> Entry | None:
    from langchain_community.utilities import DuckDuckGoSearchAPIWrapper

    pages = DuckDuckGoSearchAPIWrapper(time=None, backend="duckduckgo").results(query, max_results=1)
    return Entry(pages[0]["title"], pages[0]["snippet"]) if pages else None


SOURCES: dict[str, tuple[Callable[[str], Entry | None], str]] = {
    "corpus": (_from_corpus, "langchain-community rank-bm25"),
    "wikipedia": (_from_wikipedia, "langchain-community wikipedia"),
    "tavily": (_from_tavily, "langchain-tavily"),
    "duckduckgo": (_from_duckduckgo, "langchain-community ddgs"),
}
"""The values of SEARCH: how to find an entry, and the packages which that needs."""
