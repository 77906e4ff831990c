"""Does the store still hold what was written, and do the sources still match? If not, repair it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from monai_cl.data.store.conversion import Preparation
from monai_cl.data.store.entry import StoreEntry, load_entry
from monai_cl.data.store.keys import Slot
from monai_cl.data.store.locks import is_claimed
from monai_cl.data.store.remedies import prepare_line
from monai_cl.data.store.sources import fingerprint
from monai_cl.errors import UserError
from monai_cl.files import crc32, left_from, leftovers, remove


class Store(Protocol):
    """What checking and repairing needs of a `VolumeStore`."""

    root: Path

    def __init__(self, root: Path, preparation: Preparation) -> None: ...

    def all_keys(self) -> list[str]:
        """Every entry."""

    def slot(self, item: Mapping[str, Any], *, again: bool = False) -> Slot:
        """Where an item belongs."""

    def fill(self, slot: Slot) -> str:
        """Prepare the slot's item; returns its key."""


@dataclass(frozen=True)
class StoreProblem:
    """One fault of a store.

    Attributes:
        folder: the entry or left-over it concerns.
        kind: ``"damaged"``, ``"stale"`` (the source has changed since), ``"suspect"`` (the source has other bytes, of
            the same size and time) or ``"unfinished"`` (left by a killed run).
        text: what was expected and found.
        entry: the entry, where it can still be read.
    """

    folder: Path
    kind: str
    text: str
    entry: StoreEntry | None = None

    def __str__(self) -> str:
        return f"{self.folder}: {self.kind}: {self.text}"


def find_problems(store: Store, *, sources: bool = True) -> list[StoreProblem]:
    """Look at every entry of every preparation.

    Args:
        store: the store.
        sources: also compare with the source files that still exist (every byte is read).
    """
    problems = [
        StoreProblem(folder, "unfinished", "expected nothing, found what a killed run left")
        for folder in leftovers(store.root)
        if not is_claimed(store.root, left_from(folder))
    ]
    for key in store.all_keys():
        folder = store.root / key
        try:
            entry = load_entry(folder)
        except UserError as error:
            problems.append(StoreProblem(folder, "damaged", str(error)))
            continue
        faults = [fault for name, value in sorted(entry.crc32.items()) if (fault := _file_fault(folder / name, value))]
        if faults:
            problems.append(StoreProblem(folder, "damaged", "; ".join(faults), entry))
        elif sources and (change := _source_change(entry)):
            problems.append(StoreProblem(folder, *change, entry))
    return problems


def repair(store: Store, *, sources: bool = True) -> list[str]:
    """Make damaged entries again from their sources, replace stale ones, remove left-overs.

    A damaged entry that cannot be made again is removed, so that no run trains on it; a stale one is then kept. A
    suspect one is kept too: it may be the last good copy.

    Returns: what was done, one line per problem.
    """
    return [
        f"{problem.folder}: {_MENDERS[problem.kind](store, problem)}"
        for problem in find_problems(store, sources=sources)
    ]


_FASTER = "another process is repairing it"


def _sweep(store: Store, problem: StoreProblem) -> str:
    return "removed what a killed run left" if remove(problem.folder) else _FASTER


def _rebuild(store: Store, problem: StoreProblem) -> str:
    if not remove(problem.folder):
        return _FASTER
    if problem.entry is None:
        return f"removed, its description was unreadable; run `{prepare_line(store.root)}` again"
    try:
        key = _add_again(store, problem.entry)
    except Exception as error:  # whatever is wrong with one source, the others still have to be repaired
        return f"removed, it could not be made again: {error}"
    return "made again" if key == problem.folder.name else f"made again as {key}, because its source has changed"


def _renew(store: Store, problem: StoreProblem) -> str:
    assert problem.entry is not None  # what is stale was read
    try:
        key = _add_again(store, problem.entry)
    except Exception as error:
        return f"kept as it was, the changed source cannot be used: {error}"
    return f"replaced by {key}" if remove(problem.folder) else _FASTER


def _keep(store: Store, problem: StoreProblem) -> str:
    return (
        f"kept as it was, because {problem.text}: copy an intact file back, or touch this one and repair again to "
        "use it"
    )


_MENDERS = {"unfinished": _sweep, "damaged": _rebuild, "stale": _renew, "suspect": _keep}


def _add_again(store: Store, entry: StoreEntry) -> str:
    rebuilt = type(store)(store.root, Preparation(**entry.preparation))
    return rebuilt.fill(rebuilt.slot(item_of(entry), again=True))


def item_of(entry: StoreEntry) -> dict[str, Any]:
    """The item of a data list that an entry was made from."""
    label_map = entry.source["label_map"]
    item = {
        "image": entry.source["image"]["path"],
        "dataset": entry.dataset,
        "id": entry.id,
        "patient": entry.patient,
        "label_map": None if label_map is None else {value: new for value, new in label_map},
    }
    item |= {"ignore": entry.source["ignore"]} if "ignore" in entry.source else {}
    item |= entry.source.get("reading", {})  # only where the item had some
    return item | ({"label": entry.source["label"]["path"]} if entry.has_label else {})


def _file_fault(path: Path, expected: int) -> str | None:
    try:
        checksum = crc32(path)
    except FileNotFoundError:
        return f"{path.name} is missing"
    return None if checksum == expected else f"{path.name} has checksum {checksum:08x} instead of {expected:08x}"


def _source_change(entry: StoreEntry) -> tuple[str, str] | None:
    """Kind and text of the problem."""
    for kind in ("image", "label"):
        recorded = entry.source.get(kind)
        if recorded is None:
            continue
        path = recorded["path"]
        with contextlib.suppress(UserError, OSError):  # a source that was moved away proves nothing
            current = asdict(fingerprint(path))
            if current["sha256"] != recorded["sha256"]:
                if all(current[name] == value for name, value in recorded.items() if name != "sha256"):
                    return "suspect", f"{path} has other bytes than this entry was made from, but their size and time"
                return "stale", f"{path} has changed since this entry was made from it"
    return None
