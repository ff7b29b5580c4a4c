"""A grammar of the plans that can be written with these tools, for servers that keep a model's words to one.

Small models write prose where a plan is wanted. With a grammar they can't: known tools only, their arguments by name or
in order, values of the declared types, references, maps, and `join` at the end. What they write in the texts is theirs.

It is written in GBNF, which llama.cpp, vLLM and SGLang read, and in Lark, which OpenAI reads.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, get_args

from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from agent.context import GrammarDialect
from agent.language.values import written_name
from agent.servers.errors import ModelError
from agent.tooling.schema import Definitions, choices_of, definitions_of, options_of, schema_of

DEEPEST = 4
"""Levels of lists and objects whose types the grammar tells; deeper ones are any values."""

NOT_OPENAI = (
    'planner_protocol="grammar" needs a model of OpenAI\'s protocol, and {model} is none: use openai:…, with '
    "OPENAI_BASE_URL for a server of your own, or another protocol."
)
GRAMMAR_REFUSED = (
    "The planner's server refused the request with the plan's grammar, which has the form that {dialect} takes. Set "
    'grammar_dialect to what your server is ({dialects}), or planner_protocol to "text". The server says: {error}'
)

GBNF = r"""
number ::= [1-9] [0-9]{0,2}
reference ::= "$" [1-9] [0-9]{0,2} ("." [a-zA-Z_] [a-zA-Z0-9_]{0,40} | "[" [0-9] [0-9]{0,2} "]" | "[:]"){0,8}
string ::= "\"" ([^"\\\x00-\x1f] | "\\" ["\\nt]){0,2000} "\""
integer ::= "-"? ("0" | [1-9] [0-9]{0,14})
decimal ::= "-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})?
boolean ::= "True" | "False"
null ::= "None"
reasoning ::= "<think>" ([^<] | "<" [^/])* "</think>" [\n]{0,2}
thought ::= "Thought: " [^\n<\[]{1,500} "\n"
space ::= " "?
"""

LARK = r"""
NUMBER: /[1-9][0-9]{0,2}/
REFERENCE: /\$[1-9][0-9]{0,2}(\.[a-zA-Z_][a-zA-Z0-9_]{0,40}|\[[0-9]{1,3}\]|\[:\]){0,8}/
STRING: /"([^"\\\x00-\x1f]|\\["\\nt]){0,2000}"/
INTEGER: /-?(0|[1-9][0-9]{0,14})/
DECIMAL: /-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?/
BOOLEAN: /True|False/
NULL: "None"
REASONING: /<think>([^<]|<[^\/])*<\/think>\n{0,2}/
THOUGHT: /Thought: [^\n<\[]{1,500}\n/
SPACE: / ?/
"""
"""The words of plans. A thought has no mark of reasoning in it, at which a plan would start anew. All but reasoning has
an end: small models repeat themselves for ever where they can."""

MOST_ITEMS = 100
"""Elements of a list."""

MOST_LINES = 100
"""Lines of a plan before its end."""

_WORDS = frozenset(line.partition(" ")[0] for line in GBNF.splitlines() if line)
_TYPES = {"string": "string", "integer": "integer", "number": "decimal", "boolean": "boolean", "null": "null"}

Alternative = tuple[str, ...]
"""Names of rules, and literal text in double quotes, as JSON has it."""


@dataclass(frozen=True)
class Grammar:
    """The rules of all plans with some tools: the alternatives of each rule; an empty one makes the rule optional."""

    rules: Mapping[str, list[Alternative]]
    repeated: Mapping[str, tuple[str, int]]
    """Rules that are another one, up to so many times."""

    def gbnf(self, most_lines: int = MOST_LINES) -> str:
        """For llama.cpp, vLLM and SGLang; `root` is a whole plan."""
        rules = [f"{name} ::= {_choice(alternatives)}" for name, alternatives in self.rules.items()]
        rules += [f"{name} ::= {part}{{0,{most}}}" for name, (part, most) in self._repeated(most_lines)]
        return "\n".join([*rules, GBNF.strip()]) + "\n"

    def lark(self, most_lines: int = MOST_LINES) -> str:
        """For OpenAI; `start` is a whole plan."""

        def lark_name(part: str) -> str:
            return part.upper() if part in _WORDS else part

        rules = [
            f"{name}: {_choice([tuple(map(lark_name, alternative)) for alternative in alternatives])}"
            for name, alternatives in self.rules.items()
        ]
        rules += [f"{name}: {part}~0..{most}" for name, (part, most) in self._repeated(most_lines)]
        return "\n".join(["start: root", *rules, LARK.strip()]) + "\n"

    def bind(
        self, model: BaseChatModel, dialect: GrammarDialect, most_tasks: int = 2 * MOST_LINES
    ) -> Runnable[LanguageModelInput, BaseMessage]:
        """The model, with the grammar of plans of so many tasks in each request.

        Raises:
            ModelError: The model doesn't speak OpenAI's protocol.
        """
        if not hasattr(model, "extra_body"):
            raise ModelError(NOT_OPENAI.format(model=type(model).__name__))
        most_lines = min((most_tasks + 1) // 2, MOST_LINES)  # each element of a map is a task
        if dialect == "openai":
            syntax = {"type": "grammar", "syntax": "lark", "definition": self.lark(most_lines)}
            tool = {"type": "custom", "name": "plan", "description": "Takes the plan.", "format": syntax}
            return model.bind(tools=[tool], tool_choice={"type": "custom", "name": "plan"})
        gbnf = self.gbnf(most_lines)
        bodies: dict[str, dict[str, Any]] = {
            "llama.cpp": {"grammar": gbnf},
            "vllm": {"structured_outputs": {"grammar": gbnf}},
            "sglang": {"ebnf": gbnf},
        }
        return model.bind(extra_body={**(model.extra_body or {}), **bodies[dialect]})

    def _repeated(self, most_lines: int) -> list[tuple[str, tuple[str, int]]]:
        return [*self.repeated.items(), ("lines", ("line", most_lines))]


def _choice(alternatives: Iterable[Alternative]) -> str:
    given = [" ".join(alternative) for alternative in alternatives]
    text = " | ".join(filter(None, given))
    return f"({text})?" if "" in given else text


def plan_grammar(tools: Iterable[BaseTool]) -> Grammar:
    """The grammar of the plans that these tools make possible."""
    builder = _Builder()
    rules = builder.rules
    rules["root"] = [("thinking", "opening", "number", '". "', "lines", '"join("', "answer", '")"')]
    rules["thinking"] = [(), ("reasoning",)]
    rules["opening"] = [(), ("thought",)]
    rules["answer"] = [(), ("string",)]
    # A line ends with the next one's number: engines that cut the text into words first can't tell calls from the end
    # otherwise.
    rules["line"] = [("call", r'"\n"', "number", '". "')]
    rules["call"] = []
    for tool in tools:
        builder.add_tool(tool)
    if not rules["call"]:
        rules["call"] = [('"join()"',)]  # no engine takes a rule of nothing
    return builder.grammar()


@dataclass
class _Builder:
    rules: dict[str, list[Alternative]] = field(default_factory=dict)
    repeated: dict[str, tuple[str, int]] = field(default_factory=dict)
    _values: dict[str, str] = field(default_factory=dict)
    """The rule of the values of a schema."""

    _empty: set[str] = field(default_factory=set)
    """Rules of nothing at all, which no grammar needs."""

    def grammar(self) -> Grammar:
        """The rules so far."""
        return Grammar(
            {
                name: [tuple(part for part in alternative if part not in self._empty) for alternative in alternatives]
                for name, alternatives in self.rules.items()
            },
            self.repeated,
        )

    def add_tool(self, tool: BaseTool) -> None:
        schema = schema_of(tool)
        definitions = definitions_of(schema)
        required = schema.get("required", ())
        given = {name: self.value(one, definitions) for name, one in schema.get("properties", {}).items()}
        needed = [name in required for name in given]
        calls = self.rules["call"]
        place = f"tool{len(calls)}x"
        self._add_arguments(place, given, needed)
        calls.append((_text(f"{tool.name}("), f"{place}given0" if given else "", '")"'))
        if given:
            mapped = self.rule([(_text("["), self._list_of(next(iter(given.values()))), _text("]")), ("reference",)])
            calls.append((_text(f"{tool.name}.map("), mapped, f"{place}named1", '")"'))

    def _add_arguments(self, place: str, given: Mapping[str, str], needed: list[bool]) -> None:
        """Rules for the arguments from the n-th on, in the order of the signature: `given` as long as none is left out
        or named, `named` after that. Those behind the first begin with a comma."""
        most = len(given)
        for index, (name, value) in enumerate(given.items()):
            named = (_text(f"{written_name(name)}="), value)
            comma = ('","', "space")
            self.rules[f"{place}first{index}"] = [(*named, f"{place}named{index + 1}")]
            self.rules[f"{place}named{index}"] = [(*comma, *named, f"{place}named{index + 1}")]
            self.rules[f"{place}given{index}"] = (
                [(value, f"{place}given1"), (f"{place}first0",)]
                if index == 0
                else [(*comma, value, f"{place}given{index + 1}"), (f"{place}named{index}",)]
            )
            if not needed[index]:
                self.rules[f"{place}first{index}"].append((f"{place}first{index + 1}",))
                self.rules[f"{place}named{index}"].append((f"{place}named{index + 1}",))
        self._empty |= {f"{place}{kind}{most}" for kind in ("first", "named", "given")}

    def rule(self, alternatives: list[Alternative]) -> str:
        """The name of a rule with these alternatives."""
        name = self._values.get(repr(alternatives))
        if name is None:
            name = self._values[repr(alternatives)] = f"value{len(self._values)}"
            self.rules[name] = alternatives
        return name

    def value(self, schema: Any, definitions: Definitions, depth: int = 0) -> str:
        """The rule of an argument or a part of it: what the schema says, or a reference to a result."""
        return self.rule([*self._alternatives(schema, definitions, depth), ("reference",)])

    def _alternatives(self, schema: Any, definitions: Definitions, depth: int) -> list[Alternative]:
        if not isinstance(schema, dict) or depth > DEEPEST:
            return self._anything()
        if reference := str(schema.get("$ref") or ""):
            return self._alternatives(definitions.follow(reference), definitions, depth + 1)
        if "enum" in schema or "const" in schema:
            return [(_text(_as_written(choice)),) for choice in choices_of(schema)] or self._anything()
        if options := options_of(schema):
            found = [one for option in options for one in self._alternatives(option, definitions, depth)]
            return list(dict.fromkeys(found))
        kind = schema.get("type")
        if kind == "array":
            return [('"["', self._list_of(self.value(schema.get("items"), definitions, depth + 1)), '"]"'), ('"[]"',)]
        if kind == "object":
            return [self._object(schema, definitions, depth)]
        return [(_TYPES[kind],)] if kind in _TYPES else self._anything()

    def _object(self, schema: Mapping[str, Any], definitions: Definitions, depth: int) -> Alternative:
        properties = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            value = self.value(schema.get("additionalProperties"), definitions, depth + 1)
            return '"{"', self._list_of(self.rule([("string", '":"', "space", value)])), '"}"'
        required = [name for name in properties if name in schema.get("required", ())] or list(properties)
        parts: list[str] = []
        for name in required:
            key = _text(json.dumps(name, ensure_ascii=False) + ":")
            parts += [*(['","', "space"] if parts else []), key, "space"]
            parts.append(self.value(properties[name], definitions, depth + 1))
        return '"{"', *parts, '"}"'

    def _list_of(self, value: str) -> str:
        """One value or more, with commas between them."""
        name = f"{value}list"
        self.rules[name] = [(value, f"{value}more")]
        self.rules[f"{value}next"] = [('","', "space", value)]
        self.repeated[f"{value}more"] = (f"{value}next", MOST_ITEMS - 1)
        return name

    def _anything(self) -> list[Alternative]:
        if "anything" not in self.rules:
            self.rules["anything"] = []
            self.rules["pair"] = [("string", '":"', "space", "anything")]
            items, pairs = self._list_of("anything"), self._list_of("pair")
            simple: list[Alternative] = [(word,) for word in (*_TYPES.values(), "reference") if word != "integer"]
            self.rules["anything"] = [*simple, ('"["', items, '"]"'), ('"[]"',), ('"{"', pairs, '"}"'), ('"{}"',)]
        return [("anything",)]


def _text(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


def _as_written(value: Any) -> str:
    """A value as a plan has it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


@contextmanager
def refusal_told(dialect: GrammarDialect) -> Iterator[None]:
    """Where a server is sent the grammar: if it refuses it, what to set is told.

    Raises:
        ModelError: It does.
    """
    try:
        yield
    except Exception as error:
        if getattr(error, "status_code", None) not in (400, 422) or isinstance(error, ContextOverflowError):
            raise
        raise ModelError(
            GRAMMAR_REFUSED.format(dialect=dialect, dialects=", ".join(get_args(GrammarDialect)), error=error)
        ) from error


def text_of(chunk: AIMessage) -> str:
    """What a chunk adds to the plan: its text, or the input of OpenAI's custom tool, which comes in one piece."""
    return str(chunk.text) + "".join(call["args"].get("__arg1", "") for call in chunk.tool_calls)
