"""Several names in one option: as a list, as text with commas between, or as the text of a list."""

from __future__ import annotations

from typing import Any


def names_of(value: Any) -> list[str]:
    """The names that an option holds, in their order.

    A config gives a list; a shell ``a,b``; a study or another program the text ``["a", "b"]``.

    Args:
        value: any of these; None: none.
    """
    parts = value if isinstance(value, list | tuple) else [] if value is None else str(value).strip("[]() ").split(",")
    return [name for part in parts if (name := str(part).strip(" '\""))]
