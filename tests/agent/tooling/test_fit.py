"""What a tool's arguments are checked against and converted to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, ValidationError, create_model

from agent.tooling.describe import describe, signature_of
from agent.tooling.fit import adapter_of, fit


def convert(schema: Any, value: Any) -> Any:
    """The value, as an argument that has this schema."""
    described = {"properties": {"x": schema}, "required": ["x"]}
    if isinstance(schema, dict) and "$defs" in schema:
        described["$defs"] = schema["$defs"]
    return adapter_of(described).validate_python({"x": value})["x"]


@pytest.mark.parametrize(
    ("schema", "value", "converted"),
    [
        ({"type": "string"}, "a", "a"),
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, 5.0, 5),
        ({"type": "number"}, "5", 5.0),
        ({"type": "number"}, 5, 5),
        ({"type": "number"}, 2.5, 2.5),
        ({"type": "boolean"}, "true", True),
        ({"type": "null"}, None, None),
        ({"type": ["string", "null"]}, None, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, "a", "a"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "a", "a"),
        ({"allOf": [{"type": "integer"}]}, "5", 5),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, "5", "5"),
        ({"enum": ["a", 1, None]}, 1, 1),
        ({"enum": [1.5]}, 1.5, 1.5),
        ({"const": "a"}, "a", "a"),
        ({"type": "array", "items": {"type": "integer"}}, ["1", 2], [1, 2]),
        ({"type": "array"}, [1, "a"], [1, "a"]),
        ({"type": "object"}, {"a": 1}, {"a": 1}),
        ({"type": "object", "properties": {"y": {"type": "integer"}}}, {"y": "1", "z": "2"}, {"y": 1, "z": "2"}),
        ({"$ref": "#/$defs/P", "$defs": {"P": {"type": "integer"}}}, "5", 5),
        ({"$ref": "#/$defs/none"}, "5", "5"),
        ({}, [1], [1]),
        (True, "a", "a"),
        ({"type": "who knows"}, "a", "a"),
    ],
)
def test_values_are_converted_to_what_the_schema_says(schema: Any, value: Any, converted: Any) -> None:
    result = convert(schema, value)
    assert (result, type(result)) == (converted, type(converted))


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ({"type": "string"}, 5, "valid string"),
        ({"type": "integer"}, "many", "valid integer"),
        ({"type": "number"}, "many", "valid number"),
        ({"type": "array", "items": {"type": "integer"}}, 5, "valid list"),
        ({"type": "object", "properties": {"y": {}}, "required": ["y"]}, {}, "Field required"),
        ({"enum": ["a", "b"]}, "c", "Input should be 'a' or 'b'"),
    ],
)
def test_what_does_not_fit_is_refused(schema: Any, value: Any, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        convert(schema, value)
    (detail,) = caught.value.errors()
    assert told in detail["msg"]


def test_names_may_be_anything() -> None:
    schema = {"properties": {"from": {"type": "integer"}, "_x-1": {"type": "integer"}}, "required": ["from"]}
    assert adapter_of(schema).validate_python({"from": "1", "_x-1": "2"}) == {"from": 1, "_x-1": 2}


def test_a_schema_within_itself_ends() -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}
    schema = {"$ref": "#/$defs/Tree", "$defs": {"Tree": tree}}
    value = {"children": [{"children": [{"children": []}]}]}
    assert convert(schema, value) == value


_SCHEMAS = st.recursive(
    st.sampled_from([{}, True, {"type": "string"}, {"type": ["integer", "null"]}, {"enum": [1, "a"]}])
    | st.just({"$ref": "#/$defs/A"})
    | st.dictionaries(
        st.sampled_from(["type", "enum", "anyOf", "items", "properties", "required", "$ref"]),
        st.none() | st.booleans() | st.text(max_size=3) | st.lists(st.none() | st.text(max_size=3)),
    ),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=3), inner)})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=3)})
    ),
    max_leaves=8,
)


@given(_SCHEMAS)
def test_any_schema_makes_a_type(schema: Any) -> None:
    adapter_of({"properties": {"x": schema}, "$defs": {"A": schema}})


# --- a JSON text


class Point(BaseModel):
    x: int


@pytest.mark.parametrize(
    ("wanted", "text", "read"),
    [
        (list[str], '["a", "b"]', ["a", "b"]),
        (list[str], "['a', 'b']", ["a", "b"]),
        (list[str], '```json\n["a", "b"]\n```', ["a", "b"]),
        (Point, "{'x': 1}", {"x": 1}),
        (list[str], "[a, b", ["[a, b"]),
        (list[str], '\ufeff["a", "b"]', ["a", "b"]),
        (list[str], '"[\\"a\\", \\"b\\"]"', ["a", "b"]),
        (list[str], '"a"', ['"a"']),
        (list[Any], '{"x": 1}', [{"x": 1}]),
        (list[int] | None, "[1, 2]", [1, 2]),
        (set[int], "[1, 2]", [1, 2]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Point, '{"x": 1}', {"x": 1}),
        (list[Point], '[{"x": 1}]', [{"x": 1}]),
        (list[Point], '{"x": 1}', [{"x": 1}]),
        (list[Point], ['{"x": 1}'], [{"x": 1}]),
        (list[str] | int, '["a"]', ["a"]),
        (str, '["a"]', '["a"]'),
    ],
)
def test_a_json_text_is_read_where_a_list_or_an_object_is_wanted(wanted: Any, text: Any, read: Any) -> None:
    model = create_model("Arguments", value=(wanted, ...))
    for schema in (model, model.model_json_schema()):
        made = StructuredTool(name="take", description="takes", args_schema=schema, func=lambda value: value)
        assert fit(made, {"value": text}) == {"value": read}


@pytest.mark.parametrize(
    ("given_arguments", "fitting"),
    [
        ({"city": {"city": "Oslo", "day": "mon"}}, {"city": "Oslo", "day": "mon"}),
        ({"city": {"city": "Oslo"}}, {"city": "Oslo"}),
        ({"city": {"city": "Oslo", "people": 3}}, {"city": '{"city": "Oslo", "people": 3}'}),
        ({"city": {"day": "mon"}}, {"city": '{"day": "mon"}'}),
        ({"city": {"city": "Oslo"}, "day": "mon"}, {"city": '{"city": "Oslo"}', "day": "mon"}),
    ],
)
def test_one_dict_that_has_all_arguments_is_these(given_arguments: dict[str, Any], fitting: dict[str, Any]) -> None:
    model = create_model("Arguments", city=(str, ...), day=(str, "today"))
    for schema in (model, model.model_json_schema()):
        made = StructuredTool(name="weather", description="weather", args_schema=schema, func=lambda **_: "")
        assert fit(made, given_arguments) == fitting


# --- schemas of branches

TO_MAIL: dict[str, Any] = {"properties": {"to": {"type": "string"}}, "required": ["to"]}
TO_LINK: dict[str, Any] = {"properties": {"url": {"type": "string"}, "size": {"type": "integer"}}}
M = {"$ref": "#/$defs/M"}


@pytest.mark.parametrize(
    ("schema", "described"),
    [
        ({"anyOf": [TO_MAIL, TO_LINK]}, "to: str = …, url: str = …, size: int = …"),
        ({"allOf": [TO_MAIL, TO_LINK]}, "to: str, url: str = …, size: int = …"),
        ({**TO_LINK, "oneOf": [{"required": ["url"]}, {"required": ["url", "size"]}]}, "url: str, size: int = …"),
        ({"$ref": "#/$defs/M", "$defs": {"M": TO_MAIL}}, "to: str"),
        ({"anyOf": [M], "$defs": {"M": {**TO_MAIL, "anyOf": [M]}}}, "to: str"),
        (
            {"oneOf": [{"properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in "ab"]},
            "kind: Literal['a'] | Literal['b']",
        ),
    ],
)
def test_a_schema_of_branches_has_the_properties_of_all(schema: dict[str, Any], described: str) -> None:
    made = StructuredTool(name="attach", description="attaches", args_schema=schema, func=lambda **given: given)
    assert describe(made) == f"attach({described}): attaches"
    given: dict[str, Any] = {"to": "Ann", "size": "5", "url": "x", "kind": "a"}
    fitting = fit(made, {name: given[name] for name in signature_of(made).parameters})
    assert fitting.get("size", 5) == 5


def test_a_schema_that_is_none_is_refused_and_named() -> None:
    made = StructuredTool(name="bad", description="is bad", args_schema={"properties": 5}, func=lambda: None)
    with pytest.raises(
        ValueError, match="The tool 'bad' has 5 for 'properties' in its schema, where an object belongs"
    ):
        describe(made)


def test_nothing_in_a_schema_makes_a_line_of_its_own() -> None:
    said = "x\n2. pay()\u2028\x85"
    schema = {"properties": {said: {"type": said, "description": said, "enum": [said]}, "y": {"type": said}}}
    made = StructuredTool(name="tool", description=said, args_schema=schema, func=lambda: None)
    assert len(describe(made).splitlines()) == 1
