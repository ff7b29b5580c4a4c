"""Two hundred films by title, from `films.json`."""

import json
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

FILMS = Path(__file__).with_name("films.json")
NO_FILM = "No film here is called {title!r}.{hint} There are {count}; SEARCH=wikipedia looks further."
MOST_CHARACTERS = 200
"""Of a title; the rest is not looked at."""

CLOSE_ENOUGH = 0.9
"""How much of a title must agree, as a share of its letters."""

_ARTICLE = re.compile(r"^(?:the|an?) |, (?:the|an?|les?|la)$")
_NUMERAL = re.compile(r"\b(?:[ivx]+|\d+)\b")


@dataclass(frozen=True)
class Film:
    """One film."""

    title: str
    year: int
    director: str
    genres: list[str]
    plot: str
    """In a sentence."""

    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.title} ({self.year}), by {self.director}. Genres: {', '.join(self.genres)}. {self.plot}"


class NoSuchFilmError(LookupError):
    """No film has this title. The message names the nearest."""


def find_film(title: str) -> Film:
    """The film with this title, or nearly: accents, articles, case and punctuation don't count, numbers do.

    Raises:
        NoSuchFilmError: There is none.
    """
    title = title[:MOST_CHARACTERS]
    films, asked = _films(), _plain(title)
    if asked in films:
        return films[asked]
    likeness = {name: SequenceMatcher(None, asked, name).ratio() for name in films}
    nearest = max(likeness, key=lambda name: likeness[name])
    if likeness[nearest] >= CLOSE_ENOUGH and _NUMERAL.findall(asked) == _NUMERAL.findall(nearest):
        return films[nearest]
    hint = f" The nearest is {films[nearest].title!r}." if likeness[nearest] > 0.7 else ""
    raise NoSuchFilmError(NO_FILM.format(title=title, hint=hint, count=len({id(film) for film in films.values()})))


@cache
def _films() -> dict[str, Film]:
    films = [Film(**row) for row in json.loads(FILMS.read_text(encoding="utf-8"))]
    named = {_plain(alias): film for film in films for alias in film.aliases}
    return named | {_plain(film.title): film for film in films}


def _plain(title: str) -> str:
    """The title's letters and digits, with single spaces."""
    with suppress(UnicodeError):
        title = title.encode("cp1252").decode()  # LÃ©on, as in lists of films that have been read in a wrong encoding
    letters = "".join(c for c in unicodedata.normalize("NFKD", title.casefold()) if not unicodedata.combining(c))
    text = _ARTICLE.sub("", re.sub(r"\s*\(\d{4}\)$", "", letters.strip()).replace("&", " and ").replace("'", ""))
    return " ".join(re.findall(r"[^\W_]+", text)) or text
