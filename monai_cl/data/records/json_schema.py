"""What a JSON Schema complains of, in our own words: where, what was expected, what was found."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft7Validator, ValidationError

_TYPE_NAMES = {
    "array": "a list [...]",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object {...}",
    "string": "a string",
}


@cache
def schema_validator(schema: Path) -> Draft7Validator:
    """The validator of a schema file, made once."""
    from jsonschema import Draft7Validator

    return Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))


def where(*parts: str | int) -> str:
    """A place in a document for people: ``where("training", 3, "image")`` is ``training[3].image``."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: Any, *, limit: int = 60) -> str:
    """``value`` as short JSON text for a message."""
    if isinstance(value, dict | list) and value:
        kind = "an object with the keys" if isinstance(value, dict) else "a list of"
        names = ", ".join(map(str, value)) if isinstance(value, dict) else f"{len(value)}"
        text = f"{kind} {names}"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def missing_key(error: ValidationError) -> str:
    """The key that a complaint of ``required`` is about."""
    return next(
        key for key in error.validator_value if key not in error.instance and error.message.startswith(repr(key))
    )


def expectation(error: ValidationError) -> str:
    """What the schema wants there: the words under ``expected`` (a key of ours), or else the rule that was broken."""
    limit = error.validator_value
    if "expected" in error.schema:
        return error.schema["expected"]
    if error.validator == "type":
        return " or ".join(_TYPE_NAMES[name] for name in ([limit] if isinstance(limit, str) else limit))
    if error.validator == "enum":
        return f"one of {', '.join(map(str, limit))}"
    if error.validator == "minimum":
        return f"an integer of at least {limit}"
    if error.validator == "minItems":
        return "at least one entry"
    # a keyword added to a schema and not yet handled here: reported in jsonschema's words
    return f"{error.validator} {shown(limit)}"
