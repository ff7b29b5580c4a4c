"""What went wrong in a run, told in one line to the person at the keyboard: what it was, and what to do."""

import re
from urllib.request import getproxies, proxy_bypass

from agent.tooling.fit import reason_of
from agent.tooling.secrets import without_secrets
from apps.runs.wording import printable

REFUSED_KEY = "The model's server refused the API key (401). Check it; for OpenAI it is OPENAI_API_KEY."
REFUSED = "The model's server answered {status}: {said}{hint}"
NO_CONNECTION = "No connection{where}{why}. Is the model's server running, and OPENAI_BASE_URL right?{proxy}"
PROXY = " It is asked by way of {proxy}; NO_PROXY={host} asks it directly."
HINTS = {
    404: " Check the model's name, and OPENAI_BASE_URL if it is set.",
    429: " Too many requests, or no quota left: wait, or check the account.",
}
LONGEST = 500
TOLD = 20
"""How many wrong values are told of."""

_ABOUT_TOOLS = re.compile(r"\b(?:tool|function)", re.IGNORECASE)

_PLAIN = {"ModelError", "RuntimeError"}
_NO_CONNECTION = {"APIConnectionError", "ConnectError", "ConnectTimeout"}


def in_one_line(error: Exception) -> str:
    """The error as a line of text, without keys.

    Args:
        error: Of the agent, of a model's client (told by its attributes: each provider has classes of its own), of
            Pydantic, or any other.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(status := getattr(error, "status_code", None), int):
        text = _refused(error, status)
    elif is_no_connection(error):
        text = _no_connection(error)
    elif "ValidationError" in kinds and hasattr(error, "errors"):
        text = "; ".join(reason_of(detail["loc"], detail["msg"]) for detail in error.errors()[:TOLD])
    else:
        is_plain = kinds & _PLAIN and isinstance(error, ValueError | RuntimeError)
        text = str(error) if is_plain else f"{type(error).__name__}: {error}"
    text = " ".join(printable(without_secrets(text)).split())
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def is_no_connection(error: Exception) -> bool:
    """Whether a model's client could not reach its server."""
    return bool(_NO_CONNECTION & {kind.__name__ for kind in type(error).__mro__})


def _refused(error: Exception, status: int) -> str:
    if status == 401:
        return REFUSED_KEY  # and not what the server says: that may have the key in it
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    said = str(said or body or error)
    hint = "" if _ABOUT_TOOLS.search(said) else HINTS.get(status, "")
    return REFUSED.format(status=status, said=said, hint=hint)


def _no_connection(error: Exception) -> str:
    url = getattr(getattr(error, "request", None), "url", None)
    where = f" to {url.scheme}://{url.netloc.decode()}" if url and url.host else ""
    cause: BaseException | None = error
    while cause and (cause.__cause__ or cause.__context__):
        cause = cause.__cause__ or cause.__context__
    why = f" ({cause})" if cause is not error and str(cause) else ""
    return NO_CONNECTION.format(where=where, why=why, proxy=_proxy(url.scheme, url.host) if url else "")


def _proxy(scheme: str, host: str) -> str:
    """What is said if the environment has a proxy for this server."""
    proxies = getproxies()
    name = scheme if scheme in proxies else "all"
    return PROXY.format(proxy=f"{name.upper()}_PROXY", host=host) if name in proxies and not proxy_bypass(host) else ""
