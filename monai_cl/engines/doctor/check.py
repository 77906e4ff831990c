"""One thing that was looked at, and in what state it is."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"


STATES = (OK, NOTE, WARNING, PROBLEM)


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

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, got {self.state!r}")
        if self.state in (WARNING, PROBLEM) and not self.advice:
            raise ValueError(f"{self.name}: a {self.state} needs an advice")
