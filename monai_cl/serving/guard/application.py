"""What stands before MONAI Label: it hands on only requests whose every parameter has been checked, written again.

MONAI Label 0.8.5 takes names from a request into paths as they are. So what it gets is not what a client sent: query
and body are parsed here, checked, and encoded again, and there is no second reading of them that could differ.
"""

from __future__ import annotations

import hmac
from urllib.parse import quote, urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from monai_cl.serving.guard.front_page import front_page
from monai_cl.serving.guard.origins import ServerAddress, foreign_page, is_loopback
from monai_cl.serving.guard.parameters import Names, checked_body, checked_query, path_segments
from monai_cl.serving.guard.refused import Refused
from monai_cl.serving.guard.request_body import read_form, skip_body
from monai_cl.serving.guard.routes import find_route


class Guard:
    """ASGI application around MONAI Label's.

    It answers 403 to a request for another address or from a web page of another origin, 401 without the token, 404 to
    a route or name that is not there, 400 to a parameter that is not a plain name or has another type.

    Args:
        app: MONAI Label's.
        address: where the server listens.
        names: what the app knows.
        token: that every client has to send; None: none is asked for.
    """

    def __init__(self, app: ASGIApp, *, address: ServerAddress, names: Names, token: str | None = None) -> None:
        self.app, self.address, self.names, self.token = app, address, names, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # MONAI Label has no websockets
            await send({"type": "websocket.close"})
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
            await answer(scope, receive, send)
        except Refused as refused:
            if refused.status not in (401, 403):
                await skip_body(request)
            answer = JSONResponse({"detail": refused.reason}, refused.status, headers=refused.headers)
            await answer(scope, receive, send)
        except ClientDisconnect:
            pass
        finally:
            await request.close()

    async def _answer(self, request: Request) -> ASGIApp:
        """What answers: a response of our own, or MONAI Label with the request written again."""
        self._check_source(request)
        segments = path_segments(request)
        own_answer = await self._log_in(request, segments) if self.token is not None else None
        if own_answer is not None:
            return own_answer
        if not segments and request.method in ("GET", "HEAD"):
            return HTMLResponse(front_page(self.address), headers={"Content-Security-Policy": "default-src 'none'"})
        matched = find_route(request.method, segments)
        if matched is None:
            raise Refused(404, f"{request.method} {request.url.path}: not served here")
        route, in_path = matched
        query = checked_query(request, route, in_path, self.names)
        body = await checked_body(request, route, query, self.names)
        path = "/".join(in_path[part[1:-1]] if part.startswith("{") else part for part in route.path.split("/"))
        rewritten = {
            **request.scope,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(query).encode(),
            "headers": body.headers(request),
        }

        async def handed_on(_: Scope, receive: Receive, send: Send) -> None:
            await self.app(rewritten, body.receive(receive), send)

        return handed_on

    def _check_source(self, request: Request) -> None:
        hosts = request.headers.getlist("host")
        reached_at = (request.scope.get("server") or (None,))[0]
        if len(hosts) != 1 or not self.address.answers_to(hosts[0], reached_at=reached_at):
            raise Refused(403, f"this server answers to {self.address} only; write that as its address")
        if self.token is None and reached_at is not None and not is_loopback(reached_at):
            raise Refused(403, "without a token, this server answers to its own machine only")
        headers = {name: request.headers.getlist(name) for name in ("origin", "referer", "sec-fetch-site")}
        foreign = foreign_page(headers, host=hosts[0], scheme=request.scope["scheme"])
        if foreign is not None:
            raise Refused(403, f"web pages from elsewhere may not use this server ({foreign[:200]})")

    async def _log_in(self, request: Request, segments: list[str]) -> Response | None:
        """Answer the requests by which MONAI Label's clients, 3D Slicer among them, log in; refuse others without the
        token."""
        asked = (request.method, "/".join(segments))
        if asked == ("GET", "auth"):
            return JSONResponse({"enabled": True})
        if asked == ("POST", "auth/token"):
            password = (await read_form(request)).get("password")
            if not self._is_token(password if isinstance(password, str) else ""):
                raise Refused(401, "wrong password: it is the token of this server")
            return JSONResponse({"access_token": self.token, "token_type": "Bearer"})
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not self._is_token(given.strip()):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Refused(401, "expected the header Authorization: Bearer TOKEN", headers=challenge)
        return JSONResponse({"username": "user"}) if asked == ("GET", "auth/token/valid") else None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), str(self.token).encode())
