"""Writes the page of the HTTP API from its OpenAPI description, which control serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from icefarm.control.http.openapi import description
from icefarm.control.http.routes import BASE, DESCRIPTION

__all__ = ["page"]

_HEAD = f"""\
# The HTTP API, endpoint by endpoint

Generated from the code: a farm serves the same at `GET {BASE}{DESCRIPTION}`. [The HTTP API](http.md) has examples, and
says who may call it. Paths are under `{BASE}`; without it they are those of icefarm 0.1.x.
"""


def page() -> str:
    """Return the text of the page."""
    whole = description()
    schemas = whole["components"]["schemas"]
    operations = {
        f"{method.upper()} {path}": item[method]
        for path, item in whole["paths"].items()
        for method in ("get", "post")
        if method in item
    }
    bodies = {_name(_schema(each["requestBody"])) for each in operations.values() if "requestBody" in each}
    parts = [_HEAD]
    for title, operation in operations.items():
        parts.extend(_operation(title, operation, schemas))
    parts.append("## Shapes\n")
    # Schemas of bodies are shown at their endpoints.
    for name in sorted(schemas.keys() - bodies):
        parts.extend(_shape(name, schemas[name]))
    return "\n".join(parts)


def _operation(title: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    yield f"## `{title}`\n\n{operation['summary']}\n"
    for place, title in (("path", "In the path:"), ("query", "Query:")):
        found = {each["name"]: each["schema"] for each in operation.get("parameters", ()) if each["in"] == place}
        if found:
            yield f"{title}\n"
            yield from _fields(found, ())
    if "requestBody" in operation:
        body = schemas[_name(_schema(operation["requestBody"]))]
        yield "Body, a JSON object:\n"
        yield from _fields(body["properties"], body["required"])
    responses = operation["responses"]
    yield f"Returns {_returned(responses['200'])}.\n"
    if "202" in responses:
        yield f"Status 202 with {_type(_schema(responses['202']))}: {responses['202']['description']}\n"
    yield "| refusal | `error` |\n|---|---|"
    for code, response in sorted(responses.items()):
        if not code.startswith("2"):
            names = _schema(response)["allOf"][1]["properties"]["error"]["enum"]
            yield f"| {code} | {', '.join(f'`{name}`' for name in names)} |"
    yield ""


def _shape(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    # Responses always have all of their fields.
    yield from _fields(schema["properties"], ())


def _fields(properties: Mapping[str, Any], required: Any) -> Iterator[str]:
    yield "| field | type | |\n|---|---|---|"
    for name, schema in properties.items():
        said = ["**Needed.**" if name in required else "", schema.get("description", ""), _limits(schema)]
        yield f"| `{name}` | {_type(schema)} | {' '.join(filter(None, said))} |"
    yield ""


_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}


def _limits(schema: Mapping[str, Any]) -> str:
    found = [words.format(schema[key]) for key, words in _LIMITS.items() if key in schema]
    return f"({', '.join(found)})" if found else ""


def _schema(message: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = message["content"]["application/json"]["schema"]
    return schema


def _returned(message: Mapping[str, Any]) -> str:
    """Return what an answer is: a file, a value, or the fields of an object."""
    if "application/json" not in message["content"]:
        forms = ", ".join(f"`{form}`" for form in message["content"])
        return f"a file, {forms}: {message['description'].removesuffix('.')}"
    schema = _schema(message)
    fields = [f"`{name}` ({_type(each)})" for name, each in schema.get("properties", {}).items()]
    return f"an object with {', '.join(fields)}" if fields else _type(schema)


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = _name(schema)
        return f"[{name}](#{name.lower()})"
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
