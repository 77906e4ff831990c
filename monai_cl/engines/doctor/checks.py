"""What `python -m monai_cl doctor` checks, one after the other; no failing check stops the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from monai_cl.engines.doctor.check import NOTE, PROBLEM, STATES, WARNING, Check
from monai_cl.errors import UserError


def run_checks(checks: Mapping[str, Callable[[], Check | Sequence[Check]]]) -> Iterator[Check]:
    """Run each check; one that fails is reported as a problem."""
    for name, check in checks.items():
        try:
            results = check()
        except Exception as error:  # a broken installation can raise anything, and the other checks should still run
            reason = " ".join(str(error).split())[:300]
            advice = "fix what the message names, then run the check again"
            yield Check(
                name, PROBLEM, reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}", advice
            )
            continue
        yield from [results] if isinstance(results, Check) else results


def diagnose(*, output_dir: str = ".", store: str | None = None, processes: int = 1) -> list[Check]:
    """Check what a run needs of a machine.

    Args:
        output_dir: where runs will write.
        store: where prepared volumes will be written; None: not on this machine.
        processes: that one machine is to run.
    """
    from monai_cl.engines.doctor import machine, software

    checks: dict[str, Callable[[], Check | Sequence[Check]]] = {
        "packages": software.packages,
        "gpu": lambda: machine.gpus(processes),
        "shared memory": lambda: machine.shared_memory(processes),
        "output folder": lambda: machine.folder("output folder", output_dir),
    }
    if store is not None:
        checks["store"] = lambda: machine.folder("store", store)
    return list(run_checks(checks))


def blocks(checks: Sequence[Check]) -> bool:
    """Whether a run would fail."""
    return any(check.state == PROBLEM for check in checks)


def as_text(checks: Sequence[Check]) -> str:
    """One line per check, with what to do below it."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.state:8s} {check.name:{width}}  {check.found}")
        if check.advice:
            lines.append(f"{'':8s} {'':{width}}  -> {check.advice}")
    count = {state: sum(check.state == state for check in checks) for state in STATES}
    verdict = "something blocks a run" if blocks(checks) else "nothing blocks a run"
    lines.append(f"\n{verdict} (problems: {count[PROBLEM]}, warnings: {count[WARNING]}, notes: {count[NOTE]})")
    return "\n".join(lines)


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """``{"blocks": bool, "checks": [{name, state, found, advice}]}``."""
    return {"blocks": blocks(checks), "checks": [asdict(check) for check in checks]}
