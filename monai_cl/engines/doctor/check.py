"""One check and its state."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WARNING, PROBLEM = STATES = ("ok", "note", "warning", "problem")


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what was checked.
        state: ``ok``; ``note``: good to know; ``warning``: slower or riskier than necessary; ``problem``: it blocks.
        found: what is there.
        advice: what to do, unless all is well.
    """

    name: str
    state: str
    found: str
    advice: str = ""
