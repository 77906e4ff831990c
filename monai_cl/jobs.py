"""The same work on many items: by one process or several, with a progress bar where there is a text for one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def for_each(
    function: Callable[..., T],
    jobs: Sequence[tuple[Any, ...]],
    *,
    workers: int = 1,
    what: str | None = None,
    unit: str = "scan",
    leave: bool = False,
) -> Iterable[T]:
    """What a function returns for each tuple of arguments, in their order.

    Args:
        function: of a module, so that other processes find it.
        jobs: its arguments.
        workers: processes; -1 for one per processor.
        what, unit, leave: as for :func:`shown`.
    """
    if workers == 1:
        results: Iterable[T] = (function(*job) for job in jobs)
    else:
        from joblib import Parallel, delayed

        results = Parallel(n_jobs=workers, return_as="generator")(delayed(function)(*job) for job in jobs)
    return shown(results, what if jobs else None, unit=unit, total=len(jobs), leave=leave)


def shown(
    items: Iterable[T], what: str | None, *, unit: str = "scan", total: int | None = None, leave: bool = False
) -> Iterable[T]:
    """The items, with a progress bar.

    Args:
        items: what is worked on.
        what: text of the bar; None: no bar.
        unit: of the items.
        total: their number, where they do not have a length.
        leave: whether the bar stays when all is done.
    """
    if what is None:
        return items
    from tqdm import tqdm

    return tqdm(items, total=total, desc=what, unit=unit, leave=leave)
