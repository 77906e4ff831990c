"""What every test may ask for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import network
from tests.bundles.launcher import Launcher

# in the tests' own process; the launcher's commands have it too
network.forbid_network()


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from all tests, and what they start, but those marked ``gpu``: equal to the last bit holds on CPUs."""
    if config.getoption("markexpr") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


MISSING = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note which tests, those not run now as well, ask for a fixture that does not exist."""
    missing = config.stash.setdefault(MISSING, [])
    for item in items:
        if found := getattr(item, "_fixtureinfo", None):
            names = set(found.names_closure) - set(found.name2fixturedefs) - {"request"}
            missing += [f"{item.nodeid}: {name}" for name in sorted(names)]


@pytest.fixture
def missing_fixtures(request: pytest.FixtureRequest) -> list[str]:
    """What tests of this session ask for and nobody has."""
    return request.config.stash[MISSING]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT (``MONAI_CL_REAL_DATA``, or ``../shared/data`` beside the checkout); skips without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MONAI_CL_REAL_DATA", default))
    if not (folder / "ct_organs").is_dir():
        pytest.skip(f"no real CT at {folder} (set MONAI_CL_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """See `Launcher`."""
    server = Launcher()
    yield server
    server.close()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """``free_port()``: a port of this machine that nobody listens on now."""

    def find() -> int:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            return free.getsockname()[1]

    return find
