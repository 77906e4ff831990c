"""JSON in and out: reading with errors that say what is wrong in which line, writing whole files or nothing."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from monai_cl.errors import UserError
from monai_cl.files import new_file
from monai_cl.shipped import list_names

_MOST_NAMED = 10


class _NotPlainError(ValueError):
    """Python's reader would accept it; the JSON standard does not."""


def _no_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _NotPlainError(f'the key "{twice}" appears twice in one object; JSON would keep the last: remove one')
    return document


def _no_constants(name: str) -> None:
    raise _NotPlainError(f"not JSON: {name} is not a JSON number")


def read_json(path: str | Path, *, what: str = "data list") -> Any:
    """Read a UTF-8 JSON file (a byte-order mark is accepted).

    Args:
        path: the file.
        what: how messages call it.

    Raises:
        UserError: the file is missing, is a folder, is not UTF-8 or is not JSON; says the line and column.
    """
    path = Path(path)
    if path.exists() and not path.is_dir() and not path.is_file():
        raise UserError(
            f"{what} {path}", expected="a JSON file", found="a pipe or device", remedy="save its content to a file"
        )
    try:
        raw = path.read_bytes()
    except IsADirectoryError:
        raise UserError(
            f"{what} {path}", expected="a JSON file", found="a folder", remedy="name the file in it"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{what} {path}", found="no such file", remedy=_another_file(path, what)) from None
    except OSError as error:
        raise UserError(f"{what} {path}", found=f"cannot be read ({error.strerror})") from None
    text = _decode(raw, path, what)
    if not text.strip():
        raise UserError(f"{what} {path}", expected="JSON", found="an empty file")
    try:
        content = json.loads(text, object_pairs_hook=_no_repeated_keys, parse_constant=_no_constants)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{what} {path}", found=f"not JSON at {place}: {_syntax_hint(text, error)}") from None
    except _NotPlainError as error:
        raise UserError(f"{what} {path}: {error}") from None
    except RecursionError:
        raise UserError(f"{what} {path}", found=f"nested too deeply to be a {what}") from None
    if half := _lone_surrogate(text):
        raise UserError(
            f"{what} {path}", expected="text", found=f"a lone surrogate, {half}", remedy="write it as UTF-8, unescaped"
        )
    return content


def _another_file(path: Path, what: str) -> str:
    """What to name instead of a file that is not there: the nearest one in its folder, or a shipped list."""
    names = sorted(file.name for file in path.parent.glob("*.json"))
    shipped = path.name.removesuffix(".json")
    # without the ending, which all of them share
    if near := get_close_matches(shipped, [name.removesuffix(".json") for name in names], n=1):
        return f"did you mean {path.parent / near[0]}.json?"
    if what == "data list" and shipped in list_names():
        return f"`python -m monai_cl datalist path {shipped}` prints where the shipped list of that name is"
    if not path.parent.is_dir():
        return f"correct the path: the folder {path.parent} does not exist either"
    remedy = f"correct the path: {path.parent} has " + (", ".join(names[:_MOST_NAMED]) or "no .json file")
    remedy += f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return remedy + (", or make a list with `python -m monai_cl datalist create`" if what == "data list" else "")


def _decode(raw: bytes, path: Path, what: str) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{what} {path}", expected="UTF-8 text", found="UTF-16", remedy="save it again as UTF-8")
    if raw[:2] == b"\x1f\x8b":
        raise UserError(
            f"{what} {path}", expected="JSON text", found="a gzip file", remedy="is this an image instead of the list?"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{what} {path}",
            expected="UTF-8 text",
            found=f"the byte 0x{raw[error.start]:02x} in line {line}, which is not",
            remedy="save it again as UTF-8",
        ) from None


def _lone_surrogate(text: str) -> str | None:
    """An escaped lone surrogate: JSON allows it, but it cannot be encoded as UTF-8."""
    pairs_gone = re.sub(r"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..", " ", text)
    found = re.search(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", pairs_gone)
    return found.group() if found else None


def _syntax_hint(text: str, error: json.JSONDecodeError) -> str:
    rest, before = text[error.pos :].lstrip(), text[: error.pos].rstrip()
    if rest[:2] in ("//", "/*") or rest[:1] == "#":
        return 'a comment, and JSON has no comments; remove it (or put the words under "description")'
    # Python 3.13 points at the comma and names it, older versions point at the bracket after it
    if error.msg.startswith("Illegal trailing comma") or (rest[:1] in ("}", "]") and before.endswith(",")):
        return "a comma before the closing bracket; remove the comma"
    if rest[:1] == "'":
        return "a single quote; JSON strings need double quotes"
    if rest[:1] == "<":
        return "markup; is this a web page that was saved in place of the list?"
    if error.msg.startswith("Invalid \\escape"):
        return "a single backslash in a string; write paths with forward slashes"
    if error.msg == "Extra data":
        return "more text after the end of the list; one file holds one list"
    if not rest:
        return "the file ends in the middle; is it complete?"
    return error.msg[0].lower() + error.msg[1:]


def format_json(document: Any) -> str:
    """``document`` as JSON text for people: one line per item of the lists, two spaces of indentation."""
    return _format(document, indent=0) + "\n"


def _format(value: Any, *, indent: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    deep = isinstance(value, dict | list) and any(isinstance(v, dict | list) for v in _values(value))
    if not (deep or (isinstance(value, dict | list) and len(flat) > 100 and indent < 4)):
        return flat
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        rows = [
            f"{inner}{json.dumps(k, ensure_ascii=False)}: {_format(v, indent=indent + 2)}" for k, v in value.items()
        ]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    rows = [inner + _format(v, indent=indent + 2) for v in value]
    return "[\n" + ",\n".join(rows) + "\n" + " " * indent + "]"


def _values(value: dict | list) -> list:
    return list(value.values()) if isinstance(value, dict) else value


def write_json(path: str | Path, document: Any, *, overwrite: bool = False) -> Path:
    """Write ``document`` to ``path``: through a temporary file beside it, fsync and rename, so never a partial file.

    Raises:
        UserError: the file exists and ``overwrite`` is false, or the folder cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(path, expected="the name of a file to write", found="a folder")
    if path.exists() and not overwrite:
        raise UserError(path, found="exists already and is kept", remedy="choose another name or pass --overwrite")
    try:
        with new_file(path) as temporary:
            temporary.write_text(format_json(document), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(path, found=f"cannot be written ({error.strerror})") from None
    return path
