"""A grammar of the plans that can be written with these tools, for servers that keep a model's words to one.

Small models write prose where a plan is wanted. With a grammar they can't: known tools only, their arguments by name or
in order, values of the declared types, references, maps, and `join` at the end. What they write in the texts is theirs.

It is written in GBNF, which llama.cpp, vLLM and SGLang read, and in Lark, which OpenAI reads.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from agent.context import GrammarDialect
from agent.servers import ModelError
from agent.tooling.fit import choices_of, definitions_of, options_of, referred, schema_of

DEEPEST = 4
"""Levels of lists and objects whose types the grammar tells; deeper ones are any values."""

NOT_OPENAI = (
    'planner_protocol="grammar" needs a model of OpenAI\'s protocol, and {model} is none: use openai:…, with '
    "OPENAI_BASE_URL for a server of your own, or another protocol."
)

GBNF = r"""
number ::= [1-9] [0-9]{0,2}
reference ::= "$" [1-9] [0-9]{0,2} ("." [a-zA-Z_] [a-zA-Z0-9_]* | "[" [0-9] [0-9]{0,2} "]" | "[:]")*
string ::= "\"" ([^"\\\x00-\x1f] | "\\" ["\\nt])* "\""
integer ::= "-"? ("0" | [1-9] [0-9]{0,14})
decimal ::= "-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})?
boolean ::= "True" | "False"
null ::= "None"
reasoning ::= "<think>" ([^<] | "<" [^/])* "</think>" [\n]{0,2}
thought ::= "Thought: " [^\n<\[]+ "\n"
space ::= " "?
"""

LARK = r"""
NUMBER: /[1-9][0-9]{0,2}/
REFERENCE: /\$[1-9][0-9]{0,2}(\.[a-zA-Z_][a-zA-Z0-9_]*|\[[0-9]{1,3}\]|\[:\])*/
STRING: /"([^"\\\x00-\x1f]|\\["\\nt])*"/
INTEGER: /-?(0|[1-9][0-9]{0,14})/
DECIMAL: /-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?/
BOOLEAN: /True|False/
NULL: "None"
REASONING: /<think>([^<]|<[^\/])*<\/think>\n{0,2}/
THOUGHT: /Thought: [^\n<\[]+\n/
SPACE: / ?/
"""
"""The words of plans. A thought has no mark of reasoning in it, at which a plan would start anew."""

_WORDS = frozenset(line.partition(" ")[0] for line in GBNF.splitlines() if line)
_TYPES = {"string": "string", "integer": "integer", "number": "decimal", "boolean": "boolean", "null": "null"}

Alternative = tuple[str, ...]
"""Names of rules, and literal text in double quotes, as JSON has it."""


@dataclass(frozen=True)
class Grammar:
    """The rules of all plans with some tools: the alternatives of each rule; an empty one makes the rule optional."""

    rules: Mapping[str, list[Alternative]]

    def gbnf(self) -> str:
        """For llama.cpp, vLLM and SGLang; `root` is a whole plan."""
        rules = (f"{name} ::= {_choice(alternatives)}" for name, alternatives in self.rules.items())
        return "\n".join([*rules, GBNF.strip()]) + "\n"

    def lark(self) -> str:
        """For OpenAI; `start` is a whole plan."""

        def lark_name(part: str) -> str:
            return part.upper() if part in _WORDS else part

        rules = [
            f"{name}: {_choice([tuple(map(lark_name, alternative)) for alternative in alternatives])}"
            for name, alternatives in self.rules.items()
        ]
        return "\n".join(["start: root", *rules, LARK.strip()]) + "\n"


def _choice(alternatives: Iterable[Alternative]) -> str:
    given = [" ".join(alternative) for alternative in alternatives]
    text = " | ".join(filter(None, given))
    return f"({text})?" if "" in given else text


def plan_grammar(tools: Iterable[BaseTool]) -> Grammar:
    """The grammar of the plans that these tools make possible."""
    builder = _Builder()
    # A task and the end begin alike: engines that cut the text into words first can't tell them apart otherwise.
    builder.rules["root"] = [("thinking", "opening", "line")]
    builder.rules["thinking"] = [(), ("reasoning",)]
    builder.rules["opening"] = [(), ("thought",)]
    builder.rules["line"] = [("number", '". "', "step")]
    builder.rules["step"] = [('"join("', "answer", '")"')]
    builder.rules["answer"] = [(), ("string",)]
    builder.rules["call"] = []
    for tool in tools:
        builder.add_tool(tool)
    if builder.rules["call"]:
        builder.rules["step"].append(("call", r'"\n"', "line"))
    else:
        del builder.rules["call"]
    return builder.grammar()


@dataclass
class _Builder:
    rules: dict[str, list[Alternative]] = field(default_factory=dict)
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
            }
        )

    def add_tool(self, tool: BaseTool) -> None:
        schema = schema_of(tool)
        definitions = definitions_of(schema)
        required = schema.get("required", ())
        given = {name: self.value(one, definitions) for name, one in schema.get("properties", {}).items()}
        needed = [name in required for name in given]
        place = f"tool{len(self.rules['call'])}x"
        self._add_arguments(place, given, needed)
        self.rules["call"].append((_text(f"{tool.name}("), f"{place}given0" if given else "", '")"'))
        if given:
            mapped = self.rule([(_text("["), self._list_of(next(iter(given.values()))), _text("]")), ("reference",)])
            self.rules["call"].append((_text(f"{tool.name}.map("), mapped, f"{place}named1", '")"'))

    def _add_arguments(self, place: str, given: Mapping[str, str], needed: list[bool]) -> None:
        """Rules for the arguments from the n-th on, in the order of the signature: `given` as long as none is left out
        or named, `named` after that. Those behind the first begin with a comma."""
        most = len(given)
        for index, (name, value) in enumerate(given.items()):
            named = (_text(f"{name if name.isidentifier() else json.dumps(name, ensure_ascii=False)}="), value)
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

    def value(self, schema: Any, definitions: Mapping[str, Any], depth: int = 0) -> str:
        """The rule of an argument or a part of it: what the schema says, or a reference to a result."""
        return self.rule([*self._alternatives(schema, definitions, depth), ("reference",)])

    def _alternatives(self, schema: Any, definitions: Mapping[str, Any], depth: int) -> list[Alternative]:
        if not isinstance(schema, dict) or depth > DEEPEST:
            return self._anything()
        if reference := str(schema.get("$ref", "")):
            return self._alternatives(referred(reference, definitions), definitions, depth + 1)
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

    def _object(self, schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Alternative:
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
        self.rules[f"{value}more"] = [(), ('","', "space", value, f"{value}more")]
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


class PlanGrammar:
    """The grammar of the plans with these tools, made once, as servers want it."""

    def __init__(self, tools: Iterable[BaseTool]) -> None:
        grammar = plan_grammar(tools)
        self._gbnf, self._lark = grammar.gbnf(), grammar.lark()

    def bind(self, model: BaseChatModel, dialect: GrammarDialect) -> Runnable[LanguageModelInput, BaseMessage]:
        """The model, with the grammar in each request.

        Raises:
            ModelError: The model doesn't speak OpenAI's protocol.
        """
        if not hasattr(model, "extra_body"):
            raise ModelError(NOT_OPENAI.format(model=type(model).__name__))
        if dialect == "openai":
            syntax = {"type": "grammar", "syntax": "lark", "definition": self._lark}
            tool = {"type": "custom", "name": "plan", "description": "Takes the plan.", "format": syntax}
            return model.bind(tools=[tool], tool_choice={"type": "custom", "name": "plan"})
        bodies: dict[str, dict[str, Any]] = {
            "llama.cpp": {"grammar": self._gbnf},
            "vllm": {"structured_outputs": {"grammar": self._gbnf}},
            "sglang": {"ebnf": self._gbnf},
        }
        return model.bind(extra_body={**(model.extra_body or {}), **bodies[dialect]})


def text_of(chunk: AIMessage) -> str:
    """What a chunk adds to the plan: its text, or the input of OpenAI's custom tool, which comes in one piece."""
    return str(chunk.text) + "".join(call["args"].get("__arg1", "") for call in chunk.tool_calls)
