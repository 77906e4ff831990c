"""One thing that was looked at, and in what state it is."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WARNING, PROBLEM = STATES = ("ok", "note", "warning", "problem")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        state: ``ok``; ``note``: good to know; ``warning``: slower or riskier than need be; ``problem``: it blocks.
        found: what is there.
        advice: what to do, unless all is well.
    """

    name: str
    state: str
    found: str
    advice: str = ""
