"""Runs by two processes, as fixtures: started together by torchrun's agents, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles.torchrun import Agents
from tests.bundles.workflow import config_files, words

Start = Callable[..., Agents]


@pytest.fixture(scope="session")
def start_agents(training_options, free_port) -> Start:
    """``start_agents(place, bundle, folder, *overlays, **options)``: two processes, started below a place."""

    def start(
        place: Path, bundle: str, folder: str, *overlays: str, machines: int = 1, joined: bool = True, **options: object
    ) -> Agents:
        names = ("train", "multi_gpu_train") if joined else ("train",)
        files = "['" + "','".join(config_files(bundle, *names, *overlays)) + "']"
        chosen = words({**training_options(bundle, **options), "output_dir": str(place / folder)})
        arguments = ["--config_file", files, *chosen]
        return Agents(arguments, place / "cwd" / folder, free_port(), machines=machines, processes=2 // machines)

    return start


@pytest.fixture
def agents(start_agents, tmp_path):
    """``agents(bundle, folder, *overlays, machines=1, **options)``: two processes, started."""
    started = []

    def start(bundle: str, folder: str, *overlays: str, **options: object) -> Agents:
        started.append(start_agents(tmp_path, bundle, folder, *overlays, **options))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def torchrun(agents, tmp_path):
    """``torchrun(bundle, folder, **options)``: two processes on the CPU, finished."""

    def run(bundle: str, folder: str, *overlays: str, **options: object):
        (done,) = agents(bundle, folder, *overlays, **options).wait()
        return done, tmp_path / folder

    return run
