"""The parameters of a request: each is a plain name, and what has to be there is there."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes, urlencode

from starlette.datastructures import UploadFile
from starlette.requests import Request

from monai_cl.serving.guard.plain_names import name_fault, text_fault
from monai_cl.serving.guard.refused import Refused
from monai_cl.serving.guard.request_body import FORMS, Body, content_type, json_object, read_form, read_short
from monai_cl.serving.guard.routes import Route
from monai_cl.serving.guard.task_options import LABEL_INFO, check_left_out, checked, task_options

# what the server itself notes of a scan
_OWN_INFO = ("strategy", "epistemic_entropy", "epistemic_ts", "ts", "name", "path")
_CHECK_SUM = re.compile(r"((SHA256|SHA512|MD5):)?[0-9a-fA-F]{1,128}")
_NUMBERS = ("lines", "refresh", "limit_cases", "expiry")


class Names(Protocol):
    """What an app knows by name."""

    devices: tuple[str, ...]

    def known(self, kind: str, name: str) -> bool:
        """Whether there is such a ``model``, ``trainer``, ``strategy``, ``method``, ``session_id`` or ``image``."""

    def has_label(self, image: str, tag: str) -> bool:
        """Whether a scan has a label with this tag."""

    def refusal(self, path: str, model: str, output: str) -> str | None:
        """Why a route has no such answer on this machine, or None."""


def path_segments(request: Request) -> list[str]:
    """Of the path as it was sent, each decoded by itself: an encoded slash is not a slash."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    segments = [_text(part) for part in raw.removeprefix(b"/").removesuffix(b"/").split(b"/")]
    for segment in segments:
        if segment and name_fault(segment):
            raise Refused(400, f"expected plain names in the path, got {segment[:80]!r}: {name_fault(segment)}")
    return [] if segments == [""] else segments


def checked_query(request: Request, route: Route, in_path: dict[str, str], names: Names) -> dict[str, str]:
    """The parameters of path and query, all good; those of the query are returned."""
    for kind, name in in_path.items():
        _require(names, kind, name)
    query: dict[str, str] = {}
    for pair in filter(None, request.scope["query_string"].split(b"&")):
        key, _, value = (_text(part.replace(b"+", b" ")) for part in pair.partition(b"="))
        _check_pair(key, value)
        if key in query:
            raise Refused(400, f"{key}: expected once, given twice")
        query[key] = value
    if route.path == "/logs/":
        query["html"] = "false"  # its page loads scripts from the network
    if query.get("uncompress", "false").lower() not in ("false", "f", "no", "n", "off", "0"):
        raise Refused(400, "uncompress: archives are not unpacked here; send the files")
    refusal = names.refusal(route.path, in_path.get("model", ""), query.get("output", ""))
    if refusal is not None:
        raise Refused(404, refusal)
    for kind, key in (("session_id", "session_id"), ("image", route.image)):
        if query.get(key):
            _require(names, kind, query[key])
    if query.get(route.label) and not names.has_label(query[route.label], query.get("tag", "")):
        raise Refused(404, f"{query[route.label]}: there is no label of it with the tag {query.get('tag', '')!r}")
    for key in filter(None, (route.image, route.label)):
        if not query.get(key) and route.options != "infer":  # which may come with a file instead
            raise Refused(400, f"{key}: expected a name, got none")
    return query


async def checked_body(request: Request, route: Route, query: dict[str, str], names: Names) -> Body:
    """The body to hand on. Where a route takes none, none is read: MONAI Label's client repeats an earlier length."""
    kind = content_type(request)
    if route.body == "json":
        text = await read_short(request)
        if not text.strip():
            return Body()
        if kind not in ("", "application/json"):
            raise Refused(415, f"expected application/json, got {kind}")
        return Body("application/json", [json.dumps(_task(route, json_object(text, "the body"), names)).encode()])
    fields: list[tuple[str, str | UploadFile]] = []
    if route.body == "form" and kind in FORMS:
        fields = [_checked_field(*pair, route, names) for pair in (await read_form(request)).multi_items()]
    elif route.body == "form" and await read_short(request):
        raise Refused(415, f"expected a form, got {kind or 'no content type'}")
    files = {key: value for key, value in fields if isinstance(value, UploadFile)}
    if route.options == "infer" and not (query.get("image") or query.get("session_id") or "file" in files):
        raise Refused(400, "image: expected the name of a scan, a session or a file, got none")
    if route.path in ("/datastore/", "/datastore/image") and not query.get("image") and "file" in files:
        # MONAI Label would cut the file's name at its first dot
        query["image"] = _divided(files["file"].filename or "", route.endings)[0]
    if not fields:
        return Body()
    return Body.multipart(fields) if kind == FORMS[0] else Body(kind, [urlencode(fields).encode()])


def _require(names: Names, kind: str, name: str) -> None:
    if not names.known(kind, name):
        raise Refused(404, f"{name}: there is no such {kind.removesuffix('_id')}")


def _text(part: bytes) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise Refused(400, f"expected UTF-8, got {part[:80]!r}") from error


def _check_pair(key: str, value: str) -> None:
    if key == "check_sum":
        fault = None if _CHECK_SUM.fullmatch(value) else "it is not a SHA256, SHA512 or MD5 sum"
    elif key in _NUMBERS:
        fault = None if re.fullmatch(r"-?[0-9]{1,9}", value) else "it is not an integer"
    else:
        fault = name_fault(key) or (name_fault(value) if value else None)
    if fault is not None:
        raise Refused(400, f"{key[:80]!r}: expected a plain name, got {value[:80]!r}: {fault}")


def _task(route: Route, given: dict[str, Any], names: Names) -> dict[str, Any]:
    options = _options(route, given, names)
    # a request to all tasks at once has options under the name of a task too
    kind = {"/train/": "trainer", "/scoring/": "method"}.get(route.path)
    for key, value in given.items():
        if kind and isinstance(value, dict) and names.known(kind, key):
            options[key] = _options(route, value, names)
    return options


def _options(route: Route, given: dict[str, Any], names: Names) -> dict[str, Any]:
    try:
        check_left_out(route.options, given)
        options = task_options(route.options, given, devices=names.devices)
    except ValueError as error:
        raise Refused(400, str(error)) from error
    for name in options.get("images", ()):
        _require(names, "image", name)
    return options


def _checked_field(key: str, value: str | UploadFile, route: Route, names: Names) -> tuple[str, str | UploadFile]:
    if name_fault(key):
        raise Refused(400, f"{key[:80]!r}: expected the plain name of a field: {name_fault(key)}")
    if isinstance(value, UploadFile):
        value.filename = _file_name(value.filename or "", route.endings)
        return key, value
    if key not in ("params", "info"):
        if text_fault(value):
            raise Refused(400, f"{key}: {text_fault(value)}: {value[:80]!r}")
        return key, value
    info = json_object(value or "{}", key)
    if route.options:
        info = _options(route, info, names)
    elif route.path == "/datastore/image/info":
        info = {name: entry for name, entry in info.items() if name not in _OWN_INFO}
    elif info.get("label_info") is not None:
        try:
            checked("label_info", info["label_info"], LABEL_INFO)
        except ValueError as error:
            raise Refused(400, str(error)) from error
    return key, json.dumps(info)


def _file_name(sent: str, endings: tuple[str, ...]) -> str:
    """The plain name of an uploaded file: 3D Slicer sends the whole path that it has on its own machine."""
    *folders, name = re.split(r"[/\\]", sent)
    fault = "it names a folder" if ".." in folders else name_fault(name)
    if fault is not None:
        raise Refused(400, f"expected the name of a file, got {sent[-80:]!r}: {fault}")
    stem, ending = _divided(name, endings)
    if endings and not ending:
        raise Refused(400, f"{name[-80:]}: expected a file of {', '.join(endings)}")
    return stem + ending


def _divided(name: str, endings: tuple[str, ...]) -> tuple[str, str]:
    ending = next((ending for ending in endings if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)], ending
