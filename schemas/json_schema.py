"""The JSON Schemas in ``schemas/json/``, generated from the types.

``python -m schemas.json_schema --write`` writes the files. Without ``--write`` it only lists the
files that differ and the changes that break a reader or a producer of the last release; the exit
code is 1 if there are any. For a release, copy ``schemas/json/*.json`` to a new
``schemas/json/released/vN/``. A schema is looser than the codec where JSON Schema cannot express a
rule (a field given twice, 12.0, the limits in settings).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson

from schemas.compatibility import breaking_changes
from schemas.dead_letter import HEADERS, DeadLetter
from schemas.decision import Decision
from schemas.feature_row import FeatureRow
from schemas.fields import Keywords
from schemas.label import Label
from schemas.rollout import RolloutChange
from schemas.shortened_dead_letter import SHORTENED_HEADERS
from schemas.transaction import Transaction

DIRECTORY = Path(__file__).parent / "json"

EVENTS: Mapping[str, type] = {
    "transaction": Transaction,
    "label": Label,
    "feature-row": FeatureRow,
    "decision": Decision,
    "rollout-change": RolloutChange,
}
"""The type that each file describes, by the name of the file."""

EMITTED = frozenset({"feature-row", "decision", "rollout-change", "dead-letter-headers"})
"""The schemas of records that Weir writes and others read."""

Schema = dict[str, Any]

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def schema_of(hint: Any) -> Schema:
    """Give the JSON Schema of a type hint.

    Supports what the types in ``schemas/`` use: scalars, lists, dictionaries with text keys,
    literals, unions, dataclasses, and ``Annotated`` with a description (text) or with
    ``Keywords``; of nested ``Annotated`` the outer ones apply last.

    Raises:
        TypeError: the hint is something else.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (Union, UnionType):
        return _union([schema_of(member) for member in arguments])
    return _container(hint)


def all_schemas() -> dict[str, Schema]:
    """Give every schema by the name of its file, without ``.json``."""
    schemas = {name: _document(name, schema_of(kind)) for name, kind in EVENTS.items()}
    name = "dead-letter-headers"
    schemas[name] = _document(name, _dead_letter_headers())
    return schemas


def rendered(schema: Schema) -> bytes:
    """Give the bytes of a schema file: indented, in the schema's order, with a final newline."""
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def last_release(directory: Path = DIRECTORY) -> Path:
    """Give the directory of the newest release, the ``vN`` with the largest N."""
    releases = directory.glob("released/v*")
    return max(releases, key=lambda path: int(path.name.removeprefix("v")))


def complaints(directory: Path = DIRECTORY) -> list[str]:
    """List the files that differ from the types, and the changes that break the last release."""
    schemas = all_schemas()
    found = [
        f"{name}.json differs from its type; run python -m schemas.json_schema --write"
        for name, schema in schemas.items()
        if not _has_content(directory / f"{name}.json", rendered(schema))
    ]
    released = {path.stem: path for path in sorted(last_release(directory).glob("*.json"))}
    for name, path in released.items():
        if name not in schemas:
            found.append(f"{name}: released, and now missing")
            continue
        changes = breaking_changes(
            orjson.loads(path.read_bytes()), schemas[name], is_emitted=name in EMITTED
        )
        found.extend(f"{name}: {change}" for change in changes)
    return found


def write(directory: Path = DIRECTORY) -> None:
    """Write every schema file, replacing what exists."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, schema in all_schemas().items():
        (directory / f"{name}.json").write_bytes(rendered(schema))


def main(arguments: list[str] | None = None) -> int:
    """Run the command and give its exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.json_schema", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files first")
    if parser.parse_args(arguments).write:
        write()
    found = complaints()
    sys.stdout.writelines(f"{complaint}\n" for complaint in found)
    return 1 if found else 0


def _document(name: str, schema: Schema) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:weir:{name}:v1",
        "title": name,
        **schema,
    }


def _annotated(hint: Any, metadata: tuple[str | Keywords, ...]) -> Schema:
    schema = schema_of(hint)
    for item in metadata:
        schema |= item.schema if isinstance(item, Keywords) else {"description": item}
    return schema


def _container(hint: Any) -> Schema:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (list, tuple):
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _object(hint)
    raise TypeError(f"no JSON Schema for {hint!r}; add the type to schemas/json_schema.py")


def _union(members: list[Schema]) -> Schema:
    """Join the schemas of scalars, at most one of which may have keywords."""
    joined: Schema = {}
    for member in members:
        if not isinstance(member["type"], str) or joined.keys() & member.keys() - {"type"}:
            raise TypeError(f"no JSON Schema for a union of {members}")
        joined |= member
    types = [member["type"] for member in members]
    if "number" in types and "integer" in types:  # A number includes the integers.
        types.remove("integer")
    return joined | {"type": types}


def _object(kind: type) -> Schema:
    """Describe a dataclass: fields without a default are required, unknown fields are allowed."""
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    return {
        "type": "object",
        "description": (kind.__doc__ or "").partition("\n")[0],
        "properties": {field.name: schema_of(hints[field.name]) for field in fields},
        "required": [field.name for field in fields if field.default is dataclasses.MISSING],
        "additionalProperties": True,
    }


def _dead_letter_headers() -> Schema:
    """Describe the headers as an object of strings, numbers in decimal digits."""
    schema = _object(DeadLetter)
    headers = {
        HEADERS[name]: {"type": "string", "description": field["description"]}
        | ({"pattern": "^[0-9]+$"} if field["type"] == "integer" else {})
        for name, field in schema["properties"].items()
    }
    optional = {
        name: {"type": "string", "description": text} for name, text in SHORTENED_HEADERS.items()
    }
    return schema | {"properties": headers | optional, "required": list(headers)}


def _has_content(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


if __name__ == "__main__":
    sys.exit(main())
