"""The body of a request as it was sent, and as MONAI Label gets it: parsed once, then written again."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive

from monai_cl.serving.guard.plain_names import text_fault
from monai_cl.serving.guard.refused import Refused

LONGEST_JSON = 1 << 20  # bytes
_CHUNK = 1 << 20
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


def content_type(request: Request) -> str:
    """Of a request, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_short(request: Request) -> bytes:
    """A body of at most 1 MiB."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_JSON:
            raise Refused(413, f"expected at most {LONGEST_JSON} bytes")
    return bytes(body)


async def read_form(request: Request) -> FormData:
    """A form; its files lie in temporary ones until the request is closed."""
    try:
        return await request.form()
    except MultiPartException as error:
        raise Refused(400, f"expected a form: {error.message}") from error
    except (ValueError, LookupError, AssertionError) as error:  # of its parser
        raise Refused(400, f"expected a form ({error})") from error


async def skip_body(request: Request) -> None:
    """Read what is left of a body: a client that is cut off while it sends does not see the answer."""
    if request.method in ("POST", "PUT"):
        with contextlib.suppress(RuntimeError):  # it has been read
            async for _ in request.stream():
                pass


def json_object(text: bytes | str, what: str) -> dict[str, Any]:
    """A JSON object none of whose texts is a path; ``null`` is an empty one."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    try:
        content = json.loads(text, parse_constant=refuse)
        fault = text_fault(content)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"{what}: expected JSON ({error})"[:300]) from error
    if content is not None and not isinstance(content, dict):
        raise Refused(400, f"{what}: expected a JSON object, got {str(content)[:80]}")
    if fault is not None:
        raise Refused(400, f"{what}: a text in it is refused: {fault}")
    return content or {}


@dataclass(frozen=True)
class Body:
    """A body to hand on.

    Attributes:
        content_type: with its parameters.
        parts: bytes, and files that follow each other.
    """

    content_type: str = ""
    parts: list[bytes | UploadFile] = field(default_factory=list)

    @classmethod
    def multipart(cls, fields: list[tuple[str, str | UploadFile]]) -> Body:
        """A form of fields and files whose names have been checked."""
        boundary = secrets.token_hex(16)
        parts: list[bytes | UploadFile] = []
        for key, value in fields:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(key)}"'
            if isinstance(value, UploadFile):
                head += f'; filename="{_quoted(value.filename or "")}"\r\nContent-Type: application/octet-stream'
            parts += [f"{head}\r\n\r\n".encode(), value.encode() if isinstance(value, str) else value, b"\r\n"]
        parts.append(f"--{boundary}--\r\n".encode())
        return cls(f"multipart/form-data; boundary={boundary}", parts)

    def headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Those of a request, with what belongs to this body in place of what belonged to the one that was sent."""
        replaced = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
        headers = [(name, value) for name, value in request.scope["headers"] if name not in replaced]
        if self.parts:
            length = sum(len(part) if isinstance(part, bytes) else part.size or 0 for part in self.parts)
            headers += [(b"content-type", self.content_type.encode()), (b"content-length", str(length).encode())]
        return headers

    def receive(self, receive: Receive) -> Receive:
        """ASGI's ``receive``: this body, and after it what the connection says."""
        chunks = self._chunks()
        ended = False

        async def replay() -> Message:
            nonlocal ended
            if ended:
                return await receive()
            chunk = await anext(chunks, None)
            ended = chunk is None
            return {"type": "http.request", "body": chunk or b"", "more_body": not ended}

        return replay

    async def _chunks(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
                continue
            await part.seek(0)
            while chunk := await part.read(_CHUNK):
                yield chunk


def _quoted(name: str) -> str:
    return name.replace('"', "%22")
