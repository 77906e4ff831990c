"""Which requests a label server answers: those sent to its own address, and by no web page but its own."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens, and what a client may therefore call it in ``Host``.

    A web page that has its own name resolve to this address (DNS rebinding) is recognised by the name.

    Args:
        host: address or name given at the start.
        port: likewise.
    """

    host: str
    port: int
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = {self.host.lower()}
        if is_loopback(self.host):
            names.add("localhost")
        elif self.host in ("0.0.0.0", "::"):
            names = {socket.gethostname().lower(), socket.getfqdn().lower(), "localhost"}
        object.__setattr__(self, "names", frozenset(names))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def answers_to(self, host: str, *, reached_at: str | None = None) -> bool:
        """Whether the value of a ``Host`` header names this server.

        Args:
            reached_at: own IP address of the connection, which a browser writes for a page of this server only.
        """
        parts = _host_and_port(host)
        if parts is None:
            return False
        name, port = parts
        return port == self.port and (name in self.names or name == reached_at)


def _host_and_port(text: str) -> tuple[str, int] | None:
    if any(character in text for character in "/@?#\\, \t"):
        return None
    try:
        parts = urlsplit(f"//{text}")
        return (parts.hostname, parts.port or 80) if parts.hostname else None
    except ValueError:
        return None


def foreign_page(headers: Mapping[str, Sequence[str]], *, host: str, scheme: str = "http") -> str | None:
    """The header by which a browser says that a page of another origin sent a request, or None.

    Clients that are not browsers send none of the three.

    Args:
        headers: name in lower case -> its values.
        host: of the request, already found to be the server's own.
        scheme: that the server speaks.
    """
    own_origin = (scheme, host.lower())
    for name in ("origin", "referer"):
        for value in headers.get(name, ()):
            try:
                parts = urlsplit(value)
                same = (parts.scheme, parts.netloc.lower()) == own_origin
            except ValueError:
                same = False
            if not same:
                return f"{name}: {value}"
    for value in headers.get("sec-fetch-site", ()):
        if value not in ("same-origin", "none"):
            return f"sec-fetch-site: {value}"
    return None
