"""Record what the checkout computes, prints and writes, and compare it after a change that must not alter any of it.

    python -m tests.golden write FOLDER      # at the old commit
    python -m tests.golden compare FOLDER    # at the new one; exit status 1 on any difference

Run both on one machine with the same packages: numbers are compared exactly. ``write`` leaves a JSON file per section,
and in ``artefacts`` a store, data sets and interrupted runs that ``compare`` opens and continues: do not move the
folder. What the sections cover is in `tests.golden.sections`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.golden.process import ENVIRONMENT, ROOT

SECTIONS = ("demo", "real", "runs", "messages", "studies", "artefacts", "store")  # slow ones first
SHOWN = 20  # differences per section


def about() -> dict[str, Any]:
    """What the recorded numbers depend on beside the code."""
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    packages = {name: version(name) for name in ("torch", "monai", "numpy", "scipy", "scikit-learn", "blosc2")}
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    return {"commit": commit.strip(), **machine, **packages}


def collect(mode: str, folder: Path, sections: list[str], work: Path, jobs: int) -> dict[str, Any]:
    """Run every section in a process of its own; returns section -> what it found."""

    def one(name: str) -> Any:
        started, output, log = time.monotonic(), work / f"{name}.json", work / f"{name}.log"
        (work / name).mkdir()
        words = [sys.executable, "-m", "tests.golden.sections", name, mode, folder, work / name, output]
        with open(log, "w", encoding="utf-8") as stream:
            env = os.environ | ENVIRONMENT
            process = subprocess.Popen(list(map(str, words)), cwd=ROOT, stdout=stream, stderr=stream, env=env)
            _, status, used = os.wait4(process.pid, 0)  # with its children's time
        process.returncode, seconds = os.waitstatus_to_exitcode(status), time.monotonic() - started
        print(f"[{name}] {seconds:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor time", flush=True)
        if status:
            tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            return {"failed": f"status {process.returncode}: {tail}"}
        return json.loads(output.read_text(encoding="utf-8"))

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(sections, pool.map(one, sections)))


def flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every leaf of nested dicts and lists, as (path, JSON text)."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if items and len(value):
        for key, item in items:
            yield from flat(item, (*path, str(key)))
    else:
        yield " > ".join(path), json.dumps(value, ensure_ascii=False)


def excerpts(old: str | None, new: str | None) -> list[str]:
    """Both values, long ones cut to the place where they begin to differ."""
    if old is None or new is None:
        return ["nothing" if text is None else text[:300] for text in (old, new)]
    same = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    start = max(0, same - 60)
    return [("…" if start else "") + text[start : start + 300] for text in (old, new)]


def report(section: str, old: Any, new: Any, shown: int) -> int:
    """Print the differences of a section; returns their number."""
    left, right = dict(flat(old)), dict(flat(new))
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    print(f"{section}: {len(left)} values, {len(keys)} differences")
    for key in keys[:shown]:
        was, is_now = excerpts(left.get(key), right.get(key))
        print(f"  {section} > {key}\n    old: {was}\n    new: {is_now}")
    if len(keys) > shown:
        print(f"  … and {len(keys) - shown} more (--shown)")
    return len(keys)


def failures(value: Any, path: str) -> list[str]:
    """Where a section says that something failed."""
    return [f"{path} > {key}: {text}" for key, text in flat(value) if key.split(" > ")[-1] == "failed"]


def write(folder: Path, found: dict[str, Any]) -> int:
    """Keep what was found; the exit status."""
    bad = [line for name, value in found.items() for line in failures(value, name)]
    print(*bad, sep="\n", end="\n" if bad else "")
    for name, value in found.items():
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / "about.json").write_text(json.dumps(about(), indent=1), encoding="utf-8")
    print(f"wrote {folder}: " + ", ".join(f"{name} {len(dict(flat(value)))} values" for name, value in found.items()))
    return 1 if bad else 0


def compare(folder: Path, found: dict[str, Any], shown: int) -> int:
    """Print all differences from what was kept; the exit status."""
    before, now = json.loads((folder / "about.json").read_text(encoding="utf-8")), about()
    for key in now:
        if key != "commit" and before.get(key) != now[key]:
            print(f"note: {key} was {before.get(key)}, is {now[key]}: numbers may differ for that reason")
    count = 0
    for name, value in found.items():
        path = folder / f"{name}.json"
        if not path.is_file():
            print(f"{name}: was not recorded in {folder}")
            count += 1
            continue
        count += report(name, json.loads(path.read_text(encoding="utf-8")), value, shown)
    print(f"{count} differences between {before['commit'][:9]} and {now['commit'][:9]}")
    return 1 if count else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("write", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--jobs", type=int, default=2, help="sections at once")
    parser.add_argument("--shown", type=int, default=SHOWN, help="differences printed per section")
    options = parser.parse_args()
    sections, folder = [name for name in SECTIONS if name in options.only.split(",")], options.folder.resolve()
    if unknown := set(options.only.split(",")) - set(SECTIONS):
        parser.error(f"--only: no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if options.mode == "compare" and not (folder / "about.json").is_file():
        parser.error(f"{folder}: expected a folder that `write` made, found no about.json in it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="golden-") as work:
        found = collect(options.mode, folder, sections, Path(work).resolve(), options.jobs)
    return write(folder, found) if options.mode == "write" else compare(folder, found, options.shown)


if __name__ == "__main__":
    sys.exit(main())
