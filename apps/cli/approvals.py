"""Asks the person at the terminal about the tool calls that wait for approval."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from agent.language.values import render_call
from apps.runs.wording import in_short, printable

CHOICES = {"approve": "[a]pprove", "edit": "[e]dit", "reject": "[r]eject", "respond": "[res]pond"}
"""What may be decided on a call, and how it is offered: the letters in brackets will do."""

OTHER_WORDS = {"y": "approve", "yes": "approve", "n": "reject", "no": "reject"}
UNKNOWN = "   {typed!r} is none of these. Type {words}; y approves, and n rejects."
NOT_AN_OBJECT = "The arguments must be a JSON object, like {example}."
DESCRIPTION_CHARS = 300

Ask = Callable[[str], str]
"""Shows a prompt and gives what was typed. Raises EOFError when nothing more comes."""

Say = Callable[[str], None]


def answer_to(request: Any, ask: Ask, say: Say, positional: Mapping[str, int] | None = None) -> Any:
    """What the user says to what an interrupted run asks for.

    Args:
        request: The interrupt's value: tool calls that wait (`action_requests` and `review_configs`), or whatever a
            tool asks for.
        positional: How many arguments of each tool go without their names in plans, if that is known.

    Returns:
        What the run is resumed with: `{"decisions": […]}`, a decision for each call; or a text.
    """
    if not (isinstance(request, Mapping) and request.get("action_requests")):
        text = request if isinstance(request, str) else json.dumps(request, ensure_ascii=False, default=str)
        say(f"\nA tool asks: {printable(text)}")
        return ask("Your answer> ")
    if error := request.get("error"):
        say(f"\n{printable(str(error))}")
    allowed = {config["action_name"]: config["allowed_decisions"] for config in request.get("review_configs", [])}
    actions = request["action_requests"]
    unnamed = positional or {}
    calls = [render_call(call["name"], call["args"], positional=unnamed.get(call["name"])) for call in actions]
    say(f"\n{len(actions)} call{' waits' if len(actions) == 1 else 's wait'} for your approval:")
    return {
        "decisions": [
            _decide(f"{number}. {call}", action, allowed.get(action["name"], list(CHOICES)), ask, say)
            for number, (action, call) in enumerate(zip(actions, calls, strict=True), start=1)
        ]
    }


def _decide(title: str, action: Mapping[str, Any], allowed: list[str], ask: Ask, say: Say) -> dict[str, Any]:
    say(f"\n{printable(title)}")
    for line in str(action.get("description") or "").splitlines():
        if line := in_short(line, DESCRIPTION_CHARS):
            say(f"   {line}")
    offered = [decision for decision in CHOICES if decision in allowed]
    words = ", ".join(CHOICES[decision] for decision in offered)
    while True:
        typed = ask(f"   {words}? ").strip().lower()
        match _decision(typed, offered):
            case "edit":
                return {"type": "edit", "edited_action": {"name": action["name"], "args": _edit(action, ask, say)}}
            case "reject":
                return {"type": "reject", "message": ask("   Why (the agent is told)> ").strip()}
            case "respond":
                return {"type": "respond", "message": ask("   What the call is to have given> ").strip()}
            case "approve":
                return {"type": "approve"}
            case _ if typed:
                say(UNKNOWN.format(typed=typed, words=words))


def _decision(typed: str, offered: list[str]) -> str | None:
    """The decision that is meant by a word, or by its first letters."""
    typed = typed.replace("[", "").replace("]", "")
    meant = OTHER_WORDS.get(typed, typed)
    return next((decision for decision in offered if meant and decision.startswith(meant)), None)


def _edit(action: Mapping[str, Any], ask: Ask, say: Say) -> dict[str, Any]:
    """The arguments as the user wants them; those left out stay as they are."""
    say(f"   {json.dumps(action['args'], ensure_ascii=False, default=str)}")
    while True:
        typed = ask("   The arguments to change, as JSON> ").strip()
        try:
            changed = json.loads(typed or "{}")
        except ValueError:
            changed = None
        if isinstance(changed, dict):
            return {**action["args"], **changed}
        first = next(iter(action["args"]), "name")
        say("   " + NOT_AN_OBJECT.format(example=json.dumps({first: "…"}, ensure_ascii=False)))
