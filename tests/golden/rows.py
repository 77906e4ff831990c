"""A plugin of pytest that keeps the message of every row of the table of bad input, word for word.

The tests of the rows run as they are; the plugin looks at what their two doors answer: the functions of the table
`DOORS` in the test's module (their answer has ``shown``), and the fixture `LAUNCHER` (``run`` answers with
``last_error_line``). `TESTS` names the tests. If these move or are renamed, change the constants here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.golden.process import Plain

TESTS = (
    "test_it_is_refused_in_one_line_or_repaired",
    "test_a_run_is_refused_in_one_line_before_it_writes",
)
DOORS, LAUNCHER = "DOORS", "launcher"
PROGRESS = r"\d+%\|"  # a bar of tqdm: how often it is drawn depends on the time
OUTPUT, ROWS = "GOLDEN_ROWS", {}  # the environment variable with the file to write; row -> messages


class _Listening:
    """A launcher whose answers are kept."""

    def __init__(self, launcher: Any, listen: Callable[[str, Callable], Callable]) -> None:
        self._launcher, self.run = launcher, listen("run", launcher.run)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._launcher, name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """Let the doors of a row be heard."""
    if getattr(item, "originalname", None) not in TESTS:
        yield
        return
    row = ROWS.setdefault(item.callspec.id, {})
    names = {"tmp": item.funcargs["tmp_path"], "base": item.config._tmp_path_factory.getbasetemp()}
    plain = Plain(root=item.config.rootpath, shared=item.config.rootpath.parent / "shared", **names)

    def listen(name: str, door: Callable) -> Callable:
        def heard(*arguments: Any, **options: Any) -> Any:
            answer = door(*arguments, **options)
            shown = answer.shown if hasattr(answer, "shown") else answer.last_error_line
            lines = plain.text(shown).splitlines()
            row[name] = [line for line in lines if line.strip() and not re.search(PROGRESS, line)]
            return answer

        return heard

    doors = getattr(item.module, DOORS, None)
    if doors is not None:
        setattr(item.module, DOORS, {name: listen(name, door) for name, door in doors.items()})
    if LAUNCHER in item.funcargs:
        item.funcargs[LAUNCHER] = _Listening(item.funcargs[LAUNCHER], listen)
    yield
    if doors is not None:
        setattr(item.module, DOORS, doors)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how the row's test ended, a skipped one too."""
    if any(f"::{name}[" in report.nodeid for name in TESTS) and (report.when == "call" or report.skipped):
        ROWS.setdefault(report.nodeid.partition("[")[2][:-1], {})["outcome"] = report.outcome


def pytest_sessionfinish() -> None:
    """Write all of them."""
    Path(os.environ[OUTPUT]).write_text(json.dumps(ROWS, ensure_ascii=False, sort_keys=True), encoding="utf-8")
