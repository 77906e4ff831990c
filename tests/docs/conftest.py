"""The shell and the folder that the commands of the documentation run in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.shell import Shell


@pytest.fixture(scope="session")
def shell(launcher) -> Iterator[Shell]:
    """See `Shell`."""
    # a socket's path must be short, which pytest's folders are not
    folder = Path(tempfile.mkdtemp(prefix="docs"))
    made = Shell(launcher, folder)
    yield made
    made.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def world(shell, tmp_path_factory):
    """See `World`."""
    from tests.docs.world import World

    return World(tmp_path_factory.mktemp("world"), shell)
