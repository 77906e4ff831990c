"""What a process does with files and other processes, noted by an audit hook that it loads at its start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

# imported by the interpreter at its start, as the first `sitecustomize` on the path
HOOK = """
import json, os, sys
_log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_kinds = ("open", "os.", "shutil.", "subprocess.Popen")
def _note(event, arguments):
    if event.startswith(_kinds):
        names = [os.fsdecode(a) for a in arguments if isinstance(a, (str, bytes))]
        os.write(_log, (json.dumps([event, [n for n in names if n]]) + "\\n").encode())
sys.addaudithook(_note)
"""


class Audit:
    """Notes of a server and all that it starts.

    Args:
        folder: where the hook and its notes are put.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        self.log = folder / "audit.jsonl"
        self.environment = {"PYTHONPATH": str(folder), "AUDIT_LOG": str(self.log)}
        self._read = 0

    def events(self) -> Iterator[tuple[str, list[str]]]:
        """Those since the last call: name of the event and texts among its arguments."""
        with self.log.open("rb") as stream:
            stream.seek(self._read)
            lines = stream.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            event, names = json.loads(line)
            yield event, names
