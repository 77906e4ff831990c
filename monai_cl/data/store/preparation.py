"""Every item of a list into the store: in parallel, resumable, with a progress bar and a list of what was skipped."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_cl.data.datalist.items import describe_item
from monai_cl.data.store.keys import Slot
from monai_cl.data.store.volume_store import Busy, Preparation, VolumeStore
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)
INCOMPLETE = "fix them; a scan that is taken out of the list instead is missing from every result: report it"
# with these no later item can succeed either
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass
class PreparedItems:
    """What :func:`prepare` leaves.

    Attributes:
        store: the store.
        keys: one for each good item, in the order of the items.
        items: the good items.
        skipped: (item, reason) of the others, in the order of the items.
        made, reused: how many entries are new, how many were there.
        seconds: wall time.
    """

    store: VolumeStore
    keys: list[str] = field(default_factory=list)
    items: list[Mapping[str, Any]] = field(default_factory=list)
    skipped: list[tuple[Mapping[str, Any], str]] = field(default_factory=list)
    made: int = 0
    reused: int = 0
    seconds: float = 0.0

    def summary(self) -> str:
        """A line of counts, then a line for every skipped item."""
        head = (
            f"{self.store.root}: {self.made} prepared, {self.reused} already there, {len(self.skipped)} skipped, "
            f"{self.seconds:.1f} s"
        )
        return "\n".join(
            [
                head,
                *(
                    f"  skipped {describe_item(item) if item.get('image') else item.get('id')}: {why}"
                    for item, why in self.skipped
                ),
            ]
        )


def prepare(
    items: Iterable[Mapping[str, Any]],
    root: str | os.PathLike,
    preparation: Preparation | None = None,
    *,
    workers: int = 1,
    progress: bool = True,
    report: Callable[[str], None] | None = logger.warning,
) -> PreparedItems:
    """Prepare items into the store at ``root``; of those already there, only the files' sizes and times are checked.

    Several runs may prepare the same list at once: each volume is made by one of them, and the others wait for what
    they need at the end. A run that was killed continues where it stopped.

    Args:
        items: of a data list (see :meth:`VolumeStore.add`).
        root: folder of the store, made if absent.
        preparation: spacing, layout, antialiasing.
        workers: processes (joblib; a Dask or other joblib backend set around the call is used).
        progress: show a bar with rate and remaining time.
        report: called with the summary if anything was skipped.

    Raises:
        UserError: not one of the items could be prepared, or the disk is full.
        ValueError: ``workers`` < 1.
    """
    if workers < 1:
        raise ValueError(f"workers must be >= 1, got {workers}")
    begin = time.perf_counter()
    items = list(items)
    store = VolumeStore.create(root, preparation)
    outcomes: dict[int, tuple[str, str]] = {}
    for index, item in enumerate(items):
        if (slot := _filled_slot(store, item)) is not None:
            outcomes[index] = prepare_one(store, item, index, slot=slot)[1:]
    todo = [index for index in range(len(items)) if index not in outcomes]
    _work(store, items, todo, outcomes, workers=workers, progress=progress)
    result = PreparedItems(store)
    for index, item in enumerate(items):
        status, text = outcomes[index]
        if status == "skipped":
            result.skipped.append((item, text))
            continue
        result.items.append(item)
        result.keys.append(text)
        result.made += status == "made"
        result.reused += status == "reused"
    result.seconds = time.perf_counter() - begin
    if result.skipped and report is not None:
        report(result.summary())
    if items and not result.keys:
        raise UserError(
            root, expected=f"at least one usable item among {len(items)}", found="none", remedy=result.skipped[0][1]
        )
    return result


def _work(
    store: VolumeStore,
    items: Sequence[Mapping[str, Any]],
    todo: Sequence[int],
    outcomes: dict[int, tuple[str, str]],
    *,
    workers: int,
    progress: bool,
) -> None:
    from tqdm import tqdm

    with tqdm(total=len(todo), desc="Preparing volumes", unit="volume", disable=not (progress and todo)) as bar:
        busy = []
        for index, status, text in _results(store, items, todo, workers):
            if status == "busy":
                busy.append(index)
                continue
            outcomes[index] = (status, text)
            bar.update()
        for index in busy:
            bar.set_postfix_str("waiting for another run")
            outcomes[index] = prepare_one(store, items[index], index, wait=True)[1:]
            bar.update()


def _results(
    store: VolumeStore, items: Sequence[Mapping[str, Any]], todo: Sequence[int], workers: int
) -> Iterator[tuple[int, str, str]]:
    if workers == 1 or len(todo) < 2:
        yield from (prepare_one(store, items[index], index) for index in todo)
        return
    import joblib

    run = joblib.Parallel(n_jobs=min(workers, len(todo)), return_as="generator_unordered", pre_dispatch="2*n_jobs")
    yield from run(joblib.delayed(prepare_one)(store, items[index], index) for index in todo)


def _filled_slot(store: VolumeStore, item: Mapping[str, Any]) -> Slot | None:
    try:
        return store.filled_slot(item) if item.get("image") else None
    except Exception:  # `prepare_one` runs into the same fault and reports it
        return None


def prepare_one(
    store: VolumeStore, item: Mapping[str, Any], index: int, *, slot: Slot | None = None, wait: bool = False
) -> tuple[int, str, str]:
    """Its index, then ``made`` or ``reused`` and the key, ``skipped`` and the reason, or ``busy``."""
    try:
        slot = slot or store.slot(item)
        there = slot.key in store
        return index, "reused" if there else "made", store.fill(slot, wait=wait)
    except Busy:
        return index, "busy", ""
    except UserError as error:
        return index, "skipped", str(error)
    except OSError as error:
        if error.errno in _FATAL:
            raise UserError(
                store.root, expected="room to write", cause=error, remedy="free the disk and run again"
            ) from error
        return index, "skipped", f"{item.get('image')}: {error}"
    except Exception as error:
        # an unforeseen kind of file must not end a run over a thousand others
        return index, "skipped", f"{item.get('image')}: {type(error).__name__}: {error}"
