"""A request that is answered before MONAI Label sees it."""

from __future__ import annotations


class Refused(Exception):
    """Status, reason and headers of the answer."""

    def __init__(self, status: int, reason: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers
