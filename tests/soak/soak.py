"""Kill, resume and corrupt trainings at random for a while, and compare each with its uninterrupted run.

    python -m tests.soak --minutes 30 --output runs/soak

Every training is a process of its own, on one thread. It is ended by SIGKILL or SIGTERM at a random moment, in every
other attempt on a disk that is slow to write; between two attempts a checkpoint may be damaged, or half a file left
behind. Whatever happens, (1) a resumed run continues from the newest checkpoint that is whole, and names the damaged
ones; (2) in the end its weights, optimiser, schedule, best metric, ``model.pt``, curves and metrics are those of the
uninterrupted run, to the last bit.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from monai_cl.data import read_results
from monai_cl.engines.checkpoints.checkpoint_file import checkpoints_in, read_checkpoint
from monai_cl.engines.checkpoints.termination import EXIT_SAVED
from monai_cl.errors import UserError
from tests.bundles.launcher import Finished, Launcher
from tests.soak.cases import Case, make_cases
from tests.soak.damage import DAMAGES, damage

RESUMED = re.compile(r"resumed \S*checkpoint_iteration=(\d+)\.pt at iteration (\d+)")
# torch.save in pieces, with pauses: a kill often falls into a write
SLOW_DISK = """
import io, time, torch
whole = torch.save
def in_pieces(content, stream, *a, **k):
    buffer = io.BytesIO()
    whole(content, buffer, *a, **k)
    data = buffer.getvalue()
    step = -(-len(data) // 10)
    for start in range(0, len(data), step):
        stream.write(data[start : start + step])
        stream.flush()
        time.sleep(0.04)
torch.save = in_pieces
"""


class Soak:
    """One run of it; ``counts`` and ``lost`` hold the result.

    Args:
        folder: everything is in it; runs in it are made again, the synthetic CT and its stores are kept.
        seed: of what is drawn.
        launcher: that starts the trainings; one of its own otherwise.
    """

    def __init__(self, folder: Path, *, seed: int = 0, launcher: Launcher | None = None) -> None:
        self.folder, self.draw, self.seed = folder, random.Random(seed), seed
        self.counts: Counter[str] = Counter()
        self.lost: list[str] = []
        for name in ("whole", "cut"):
            shutil.rmtree(folder / name, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.launcher = launcher or Launcher()
        self._closes = launcher is None
        self.cases = make_cases(folder / "data")
        self.seconds: dict[str, float] = {}

    def run(self, minutes: float) -> dict[str, Any]:
        """Soak for that long; the training that is under way at the end is finished."""
        for case in self.cases:
            shutil.rmtree(self.folder / "whole" / case.name, ignore_errors=True)
            whole = self._start(case, self.folder / "whole" / case.name).wait().check()
            self.seconds[case.name] = whole.seconds
        began, number = time.monotonic(), 0
        while time.monotonic() < began + 60 * minutes:
            case = self.cases[number % len(self.cases)]
            self._training(case, self.folder / "cut" / case.name, until=began + 60 * minutes)
            number += 1
            self._report(time.monotonic() - began)
        if self._closes:
            self.launcher.close()
        return self._report(time.monotonic() - began)

    def _report(self, seconds: float) -> dict[str, Any]:
        content = {
            "seed": self.seed,
            "minutes": round(seconds / 60, 1),
            "counts": dict(sorted(self.counts.items())),
            "lost": self.lost,
        }
        (self.folder / "soak.json").write_text(json.dumps(content, indent=1) + "\n")
        return content

    def _start(self, case: Case, output_dir: Path, *, prelude: str = "", num_workers: int = 0):
        arguments = case.arguments(output_dir, num_workers=num_workers)
        return self.launcher.start("monai.bundle", *arguments, cwd=self.folder, prelude=prelude)

    def _training(self, case: Case, output_dir: Path, *, until: float) -> None:
        """One training from its start to its end, through any number of deaths."""
        shutil.rmtree(output_dir, ignore_errors=True)
        damaged: list[str] = []
        while True:
            expected = newest_whole(output_dir)
            slow = self.draw.random() < 0.5
            running = self._start(
                case,
                output_dir,
                prelude=SLOW_DISK if slow else "",
                num_workers=1 if self.draw.random() < 0.15 else 0,
            )
            fate = self.draw.choices(["kill", "term", "end"], [0.75, 0.2, 0.05])[0]
            if time.monotonic() > until:
                fate = "end"
            if fate != "end":
                # by processor time: on a busy machine as on a quiet one
                until_used = self.draw.uniform(0.1, 1.0) * self.seconds[case.name]
                while running.lives() and running.used() < until_used:
                    time.sleep(0.005)
                running.send(signal.SIGKILL if fate == "kill" else signal.SIGTERM)
            finished = running.wait()
            self._judge_start(case, finished, expected, damaged)
            if finished.status == 0:
                if not expected:  # the first ones prepared the store too
                    self.seconds[case.name] = min(self.seconds[case.name], finished.seconds)
                break
            self._judge_death(case, output_dir, finished, fate)
            damaged = self._spoil(output_dir)
        self.counts["trainings finished"] += 1
        for difference in differences(self.folder / "whole" / case.name, output_dir):
            self.lost.append(f"{case.name}: {difference}")

    def _judge_start(self, case: Case, finished: Finished, expected: int, damaged: list[str]) -> None:
        text = finished.out + finished.err
        found = RESUMED.search(text)
        if found is None:  # it may have been killed before it came to that
            if finished.status == 0 and expected:
                self.lost.append(f"{case.name}: ended without going on from iteration {expected}")
            return
        self.counts["resumes"] += 1
        if int(found[2]) != expected:
            self.lost.append(f"{case.name}: went on from {found[2]}, and {expected} was whole")
        for name in damaged:
            if f"{name}: damaged" not in text:
                self.lost.append(f"{case.name}: {name} was damaged and not named")

    def _judge_death(self, case: Case, output_dir: Path, finished: Finished, fate: str) -> None:
        if fate == "kill" and finished.status == -signal.SIGKILL:
            self.counts["kills"] += 1
            if list(output_dir.glob(".tmp-*.pt-*")):
                self.counts["kills in the middle of a write"] += 1
        elif fate == "term" and finished.status == EXIT_SAVED:
            self.counts["SIGTERM, saved"] += 1
            if "saved at iteration" not in finished.out + finished.err:
                self.lost.append(f"{case.name}: status {EXIT_SAVED} without a word of saving")
        elif fate == "term" and finished.status == -signal.SIGTERM:
            self.counts["SIGTERM before the training began"] += 1
        else:
            self.lost.append(f"{case.name}: {fate}, status {finished.status}: {finished.err[-1500:]}")

    def _spoil(self, output_dir: Path) -> list[str]:
        """Perhaps damage a whole checkpoint, as long as another one is left; its name if it was the newest."""
        there = [path for path in checkpoints_in(output_dir) if is_whole(path)] if output_dir.is_dir() else []
        if self.draw.random() < 0.1 and there:
            left = there[0].with_name(f".tmp-{there[0].name}-99999-beef")
            left.write_bytes(there[0].read_bytes()[:1000])
            self.counts["incomplete files left behind"] += 1
        if self.draw.random() > 0.7 or len(there) < 2:
            return []
        kind = self.draw.choice(sorted(DAMAGES))
        victim = there[0] if self.draw.random() < 0.8 else there[1]
        damage(victim, kind, self.draw)
        if is_whole(victim):
            self.counts["damages without effect"] += 1  # of padding between the archive's members
            return []
        self.counts["corruptions"] += 1
        self.counts[f"corruptions: {kind}"] += 1
        return [victim.name] if victim == there[0] else []


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint can be read."""
    try:
        read_checkpoint(checkpoint)
    except UserError:
        return False
    return True


def newest_whole(output_dir: Path) -> int:
    """Iteration of the newest checkpoint that can be read, 0 without one."""
    for path in checkpoints_in(output_dir) if output_dir.is_dir() else []:
        try:
            return read_checkpoint(path)["iteration"]
        except UserError:
            continue
    return 0


def differences(whole: Path, cut: Path) -> list[str]:
    """What of a finished run is not that of the uninterrupted one, to the last bit."""
    found = []
    one, other = read_checkpoint(checkpoints_in(whole)[0]), read_checkpoint(checkpoints_in(cut)[0])
    for key in sorted((one.keys() | other.keys()) - {"recorder", "random"}):
        if not equal(one.get(key), other.get(key)):
            found.append(f"{key} of the last checkpoint differs")
    models = [torch.load(folder / "model.pt", weights_only=True) for folder in (whole, cut)]
    if not equal(*models):
        found.append("model.pt differs")
    results = [read_results(folder) for folder in (whole, cut)]
    for key in ("curves", "metrics", "best", "iterations", "overlays"):
        if results[0].get(key) != results[1].get(key):
            found.append(f"{key} of results.json differ")
    if len(checkpoints_in(cut)) > 2:
        found.append(f"{len(checkpoints_in(cut))} checkpoints are kept")
    return found


def equal(one: Any, other: Any) -> bool:
    """Whether two nested states are equal, tensors to the last bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other))
    return one == other
