"""The films: what the collection holds, which titles find one, and the tool that looks them up."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import ToolException

from graphs.examples.movie_recommendation.films import FILMS, NoSuchFilmError, find_film
from graphs.examples.movie_recommendation.graph import search_film
from tools.search import SOURCES, Entry

ROWS: list[dict[str, Any]] = json.loads(FILMS.read_text("utf-8"))


def test_there_are_many_films_with_titles_of_their_own() -> None:
    names = [name.casefold() for row in ROWS for name in (row["title"], *row.get("aliases", ()))]
    assert len(ROWS) >= 120
    assert len(set(names)) == len(names)


def test_a_film_has_all_that_is_told_of_it() -> None:
    slip = re.compile(r"  | [,.]|\ba [aeio]\w+|\ban (?!heir|hour)[^aeiouA-Z]\w+")
    for row in ROWS:
        assert row.keys() - {"aliases"} == {"title", "year", "director", "genres", "plot"}
        assert 1900 < row["year"] < 2030
        assert 1 <= len(row["genres"]) == len(set(row["genres"])) <= 5
        assert re.fullmatch(r"[A-Z0-9].{30,250}\.", row["plot"])
        assert not slip.search(row["plot"])


def test_every_film_is_found_by_each_of_its_names_in_any_case() -> None:
    for row in ROWS:
        for name in (row["title"], *row.get("aliases", ())):
            assert find_film(name).title == find_film(name.upper()).title == row["title"]


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Star Wars Episode V - The Empire Strikes Back", "Star Wars: Episode V - The Empire Strikes Back"),
        ("LÃ©on The Professional", "Léon: The Professional"),
        ("MisÃ©rables, Les", "Les Misérables"),
        ("Terminator, The", "The Terminator"),
        ("shawshank redemption", "The Shawshank Redemption"),
        ("Wallace & Gromit A Close Shave", "Wallace & Gromit: A Close Shave"),
        ("Schindlers List", "Schindler's List"),
        ("The Silense of the Lambs", "The Silence of the Lambs"),
        ("Fargo (1996)", "Fargo"),
        ("Monsters, Inc", "Monsters, Inc."),
        ("Kill Bill Vol 2", "Kill Bill: Vol. 2"),
    ],
)
def test_titles_are_found_as_people_and_lists_write_them(written: str, title: str) -> None:
    assert find_film(written).title == title


@pytest.mark.parametrize("title", ["Rocky V", "Iron Eagle", "Kill Bill: Vol. 3", "The Godfather Part III", "", "?"])
def test_another_film_is_not_taken_for_it(title: str) -> None:
    with pytest.raises(NoSuchFilmError, match=re.escape(f"No film here is called {title!r}.")):
        find_film(title)


def test_a_long_title_is_refused_at_once() -> None:
    with pytest.raises(NoSuchFilmError) as refused:
        find_film("Fargo " * 1_000_000)
    assert len(str(refused.value)) < 500


def test_the_nearest_title_is_named() -> None:
    with pytest.raises(NoSuchFilmError, match="The nearest is 'Rocky IV'"):
        find_film("Rocky V")


@given(st.text(max_size=60).map(lambda text: f"{text} zorbo"))
def test_any_other_text_is_a_film_that_is_not_there(title: str) -> None:
    with pytest.raises(NoSuchFilmError, match="No film here is called"):
        find_film(title)


async def test_the_tool_tells_of_the_film() -> None:
    text = await search_film.ainvoke({"title": "Fargo"})
    assert text.startswith("Fargo (1996), by Joel Coen. Genres: crime, thriller, comedy. A car salesman in debt")


async def test_a_film_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ToolException, match="SEARCH=wikipedia looks further"):
        await search_film.ainvoke({"title": "Zorbo"})


@pytest.mark.parametrize("source", ["", "corpus", "CORPUS"])
async def test_the_embedded_collection_is_the_default(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setenv("SEARCH", source)
    assert "(1996)" in await search_film.ainvoke({"title": "Fargo"})


async def test_a_live_source_is_asked_for_the_film(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "live", (lambda query: Entry("Quux", f"Found with {query!r}."), ""))
    monkeypatch.setenv("SEARCH", "live")
    assert await search_film.ainvoke({"title": "Zorbo"}) == "Quux: Found with 'Zorbo film'."
