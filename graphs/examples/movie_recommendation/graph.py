"""Movie recommendation (section 5.1 of the paper): eight searches at once, which need nothing of each other.

    Find a movie similar to Fargo, Goodfellas, Heat, Memento
    Options:
    Seven
    …

A question names four films and four to choose from.
"""

import asyncio
import os

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException, tool

from agent import create_llm_compiler
from graphs.examples.movie_recommendation import offline  # noqa: F401 — rules for the demo model
from graphs.examples.movie_recommendation.films import NoSuchFilmError, find_film
from tools.search import search


@tool(description="year, director, genres and plot of the film with this title")
async def search_film(title: str, config: RunnableConfig) -> str:
    """Look a film up in the embedded collection, or in the live source that SEARCH names (see `tools.search`).

    Raises:
        ToolException: There is no such film, or the source gave no answer.
    """
    if os.environ.get("SEARCH", "").lower() not in ("", "corpus"):
        return str(await search.ainvoke({"query": f"{title} film"}, config))
    try:
        return str(await asyncio.to_thread(find_film, title))
    except NoSuchFilmError as error:
        raise ToolException(str(error)) from error


TOOLS: list[BaseTool] = [search_film]

EXAMPLES = """\
Question: Find a movie similar to Alien, Blade Runner, Aliens, They Live
Options:
Sabrina
The Terminator
City Lights
Monsters, Inc.
1. search_film.map(["Alien", "Blade Runner", "Aliens", "They Live", "Sabrina", "The Terminator", "City Lights", \
"Monsters, Inc."])
2. join()
"""
"""Every film is looked up, those to choose from too."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES, name="movie_recommendation")
