"""What a benchmark's figures belong to: command, time, machine, versions, commit."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from monai_cl.data.records.results import git_state, installed_versions
from monai_cl.files import write_atomically


def machine() -> dict:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.platform()}


def provenance() -> dict[str, Any]:
    """Of this process, as it is now."""
    commit, dirty = git_state()
    return {
        "command": " ".join(["python", *sys.argv]),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": installed_versions(),
        "git_commit": commit,
        "git_dirty": dirty,
    }


def write_record(record: dict[str, Any], output: Path | None) -> None:
    """Print a record as JSON, and write it where a file is named."""
    text = json.dumps(record, indent=1)
    if output:
        write_atomically(output, (text + "\n").encode())
    print(text)
