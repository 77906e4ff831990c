"""Calls of the label server: a good one of every route, and each of them with one bad value."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from tests.serving.label_app import CASES, MODEL
from tests.serving.label_server import LabelServer

GOOD = {"model": MODEL, "strategy": "first", "method": MODEL, "image": CASES[0], "id": CASES[0], "label": CASES[0]}
GOOD |= {"tag": "final", "session_id": "00000000-0000-0000-0000-000000000000", "params": "{}", "info": "{}"}
BOUNDARY = "boundary-of-a-test"
OPTIONS = ("image", "model", "label_tag", "model_filename", "result_extension", "bundle_path", "tracking_uri", "other")
NO_PATH = (".", ".evil", "e" * 300)


@dataclass
class Call:
    """A request before it is encoded: values are written as they are, so that their encoding is the test's."""

    method: str
    path: str
    in_path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[str, bytes | None, dict[str, str]]:
        path = self.path
        for name, value in self.in_path.items():
            path = path.replace(f"{{{name}}}", value)
        target = path + ("?" + "&".join(f"{key}={value}" for key, value in self.query.items()) if self.query else "")
        headers, body = dict(self.headers), None
        if self.fields or self.files:
            parts = [f'name="{key}"\r\n\r\n{value}' for key, value in self.fields.items()]
            parts += [f'name="{key}"; filename="{name}"\r\n\r\nvoxels' for key, name in self.files.items()]
            text = "".join(f"--{BOUNDARY}\r\nContent-Disposition: form-data; {part}\r\n" for part in parts)
            body = f"{text}--{BOUNDARY}--\r\n".encode("utf-8", "surrogatepass")
            headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
        elif self.body is not None:
            body, headers["Content-Type"] = json.dumps(self.body).encode(), "application/json"
        return target, body, headers

    def __str__(self) -> str:
        return f"{self.method} {self.encoded()}"


def send(server: LabelServer, call: Call) -> tuple[int, bytes]:
    target, body, headers = call.encoded()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection._validate_path = lambda path: None  # control characters too are sent as they are
    try:
        host = headers.pop("Host", f"127.0.0.1:{server.port}")
        connection.putrequest(call.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": host, "Content-Length": str(len(body or b"")), **headers}.items():
            connection.putheader(name, value.encode("utf-8", "surrogatepass"))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def calls(server: LabelServer) -> list[Call]:
    """A good call of every route of the app's own OpenAPI, and of those that it leaves out of it."""
    document = server.get("/openapi.json")
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            call = Call(method.upper(), path)
            for parameter in operation.get("parameters", []):
                values = call.in_path if parameter["in"] == "path" else call.query
                if parameter["in"] == "path" or parameter.get("required") or parameter["name"] in GOOD:
                    values[parameter["name"]] = GOOD[parameter["name"]]
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                reference = content["schema"].get("$ref", "").rpartition("/")[2]
                for key, schema in document["components"]["schemas"].get(reference, {}).get("properties", {}).items():
                    is_file = "contentMediaType" in json.dumps(schema) or "binary" in json.dumps(schema)
                    (call.files if is_file else call.fields)[key] = "x.nii.gz" if is_file else GOOD.get(key, "{}")
                if kind == "application/json":
                    call.body = {}
            found.append(call)
    assert len(found) > 30
    named = {"label": GOOD["label"], "tag": GOOD["tag"]}
    hidden = [
        Call("POST", "/train/", body={}),
        Call("POST", "/scoring/", body={}),
        Call("PUT", "/datastore/", query={"image": GOOD["image"]}, fields={"params": "{}"}, files={"file": "x.nii.gz"}),
        Call("DELETE", "/datastore/", query={"id": GOOD["id"]}),
        Call("PUT", "/datastore/updatelabelinfo", query=named, fields={"params": "{}"}),
    ]
    return found + hidden


def with_bad(call: Call, bad: str) -> Iterator[Call]:
    """The call with one value replaced, for each of its values."""
    quoted = quote(bad, safe="%", errors="surrogatepass")
    for place, text in (("in_path", quoted), ("query", quoted), ("fields", bad), ("files", bad)):
        # of the path that a viewer's file has on its own machine the last part is taken
        taken = (
            place == "files" and call.path == "/session/" and ".." not in bad and not bad.startswith(("%", "~", "."))
        )
        for key in () if taken else getattr(call, place):
            yield replace(call, **{place: {**getattr(call, place), key: text}})
    for key in ("image", "tag", "other"):
        yield replace(call, query={**call.query, key: quoted})
    free = not call.path.startswith("/infer")  # what is noted of a scan or label may hold dots, and be long
    for key in OPTIONS:
        if call.body is not None:
            yield replace(call, body={key: bad})
        for name in {"params", "info"} & call.fields.keys():
            if not free or bad not in NO_PATH:
                yield replace(call, fields={**call.fields, name: json.dumps({key: bad})})
