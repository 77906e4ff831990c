"""A study on the disk: a folder for each cell, and what is known of it."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.records.results import FILE_NAME, is_record, read_results
from monai_cl.errors import UserError
from monai_cl.files import write_json
from monai_cl.locks import Lock
from monai_cl.study.expansion import Cell

# as the bundles' logging.conf has it; a line of progress may stand before it
_WARNING = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - monai_cl[\w.]* - WARNING - ([^\r\n]*)")
DONE, FAILED, RUNNING, STARTED, OPEN = "done", "failed", "running", "started", "open"


@dataclass(frozen=True)
class CellFolder:
    """``cells/STEP-IDENTITY``: ``cell.json`` what it computes, ``log.txt``, ``output`` its results, ``done.json``,
    ``failed.json``, and while it is neither ``spent.json``, how long it took so far; each written whole."""

    path: Path

    @property
    def output(self) -> Path:
        """What the command writes to."""
        return self.path / "output"

    @property
    def log(self) -> Path:
        """Of all starts: the command, its standard output and error."""
        return self.path / "log.txt"

    def warnings(self) -> list[str]:
        """What this package has warned of in the last start."""
        if not self.log.is_file():
            return []
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return _WARNING.findall(text[text.rfind("\n$ ") + 1 :])

    def lock(self) -> Lock:
        """Held while the cell runs."""
        return Lock(self.path / "lock")

    def record(self, name: str) -> dict[str, Any] | None:
        """``done``, ``failed`` or ``spent``; None where it is absent."""
        try:
            return json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UserError(
                self.path / f"{name}.json", cause=error, remedy="move the folder of this cell away"
            ) from error

    def is_done(self) -> bool:
        """Whether the cell has its results."""
        return (self.path / "done.json").is_file()

    def state(self) -> str:
        """One of done, running, failed, started (and killed), open."""
        if self.is_done():
            return DONE
        if not self.path.is_dir():
            return OPEN
        if self.lock().is_busy():
            return RUNNING
        return FAILED if (self.path / "failed.json").is_file() else STARTED

    def finish(self, *, seconds: float) -> None:
        """Write ``done.json``."""
        write_json(self.path / "done.json", {"seconds": round(seconds, 3)})
        for name in ("failed", "spent"):
            (self.path / f"{name}.json").unlink(missing_ok=True)

    def spent(self) -> float:
        """Seconds of earlier sittings, from which the cell goes on."""
        return float((self.record("spent") or {}).get("seconds", 0.0))

    def spend(self, *, seconds: float) -> None:
        """Write ``spent.json``."""
        write_json(self.path / "spent.json", {"seconds": round(seconds, 3)})

    def fail(self, *, status: int, reason: str) -> None:
        """Write ``failed.json``."""
        write_json(self.path / "failed.json", {"status": status, "reason": reason})


class StudyFolder:
    """The cells of a study below one folder, which may hold cells of earlier versions of the study too.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path).resolve()

    @property
    def memory(self) -> Path:
        """Digests of inputs, with the size and time of their files."""
        return self.path / "inputs"

    def of(self, cell: Cell) -> CellFolder:
        """Where a cell is."""
        return CellFolder(self.path / "cells" / cell.name)

    def others(self, cells: Mapping[str, Cell]) -> list[str]:
        """Names of the folders of cells that do not belong to the study as it is now."""
        known = {cell.name for cell in cells.values()}
        found = self.path / "cells"
        return sorted(path.name for path in found.iterdir() if path.name not in known) if found.is_dir() else []

    def describe(self, cell: Cell) -> None:
        """Write ``cell.json``, whose digest is the cell's identity, for the reader."""
        write_json(self.of(cell).path / "cell.json", {"identity": cell.identity, **cell.content})

    def warnings(self, cells: Mapping[str, Cell]) -> list[str]:
        """What finished cells have warned of, a line for each kind, such as a collapse: a table may rest on it."""
        kinds: dict[tuple[str, str], list[str]] = {}
        for cell in cells.values():
            place = self.of(cell)
            for said in dict.fromkeys(place.warnings()) if place.is_done() else ():
                kinds.setdefault((cell.step, re.sub(r"\d[\d.,]*", "#", said)), []).append(f"{cell.name}: {said}")
        counts = Counter(cell.step for cell in cells.values())
        return [
            f"{len(found)} of {counts[step]} cells of {step} warned, such as {found[0]}"
            for (step, _), found in kinds.items()
        ]

    def reported(self, cells: Mapping[str, Cell], *, step: str) -> list[Path]:
        """Results that a report is about: of the finished cells of a step, and of pre-trainings.

        Files that a program of one's own wrote hold numbers for the table, and nothing that a report shows.

        Args:
            cells: of the study.
            step: the one that is measured.
        """
        found = []
        for cell in cells.values():
            output = self.of(cell).output
            if not self.of(cell).is_done() or (cell.kind != "bundle" and not is_record(output)):
                continue
            trained = cell.kind == "bundle" and (output / FILE_NAME).is_file()
            if cell.step == step or (trained and read_results(output)["kind"] == "pretraining"):
                found.append(output)
        return found

    def seconds(self, cells: Mapping[str, Cell]) -> dict[str, list[float]]:
        """Step -> how long each of its finished cells took."""
        found: dict[str, list[float]] = {}
        for cell in cells.values():
            if (record := self.of(cell).record("done")) is not None:
                found.setdefault(cell.step, []).append(float(record["seconds"]))
        return found
