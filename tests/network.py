"""No network for the tests: every address but this machine's own is refused, and an attempt is remembered.

An audit hook sees what a library tries before its own error handling can hide it.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any

ATTEMPTS: list[str] = []
_CONNECTING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_ASKING = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname().lower()}


def forbid_network() -> None:
    """From now on, in this process and those it forks."""
    if not getattr(sys, "_network_is_forbidden", False):
        sys._network_is_forbidden = True
        sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _CONNECTING:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None  # a path is a socket of this machine
    elif event in _ASKING:
        host = arguments[0]
    else:
        return
    if not _is_here(host):
        ATTEMPTS.append(f"{event} {host}")
        raise PermissionError(f"the network is not to be used: {event} {host}")


def _is_here(host: Any) -> bool:
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.lower() in _NAMES
    return address.is_loopback or address.is_unspecified
