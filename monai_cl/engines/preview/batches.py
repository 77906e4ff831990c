"""The batches that the first iterations of a run get, made as the run makes them, and nothing else of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from monai.bundle import ConfigParser

from monai_cl.data.store.observed import ObservedStore, Read
from monai_cl.engines.handlers.randomness import AddressedRandomness, random_states, seed_weights, set_random_states
from monai_cl.engines.launch.command_line import Invocation
from monai_cl.engines.launch.error_report import one_cause
from monai_cl.engines.launch.startup import check_places
from monai_cl.engines.prepared_lists import observed_stores
from monai_cl.errors import UserError
from monai_cl.names import names_of
from monai_cl.shipped import bundle_folder

_TRAINER = "train#trainer#"
_NEEDED = (f"{_TRAINER}train_data_loader", f"{_TRAINER}prepare_batch", "seed", "device", "lists")


@dataclass(frozen=True)
class Batch:
    """One iteration's batch.

    Attributes:
        loaded: as the loader gives it.
        inputs, targets: as the run's ``prepare_batch`` makes them of it.
        items: its samples before they were put together.
        reads: of each sample, what was read for it.
        seconds: of each sample, to read and augment it.
        prepare_seconds: of ``prepare_batch``.
    """

    loaded: Mapping[str, Any]
    inputs: Any
    targets: Any
    items: Sequence[Mapping[str, Any]]
    reads: Sequence[Sequence[Read]]
    seconds: Sequence[float]
    prepare_seconds: float


def config_of(config: str) -> tuple[Path, ...]:
    """The files that a name stands for: those given, or the ``train.yaml`` of a bundle's folder or of a shipped bundle.

    Args:
        config: a file, several with commas between, a bundle's folder, or a name of `bundle_names`.

    Raises:
        UserError: none of these.
    """
    names = [Path(name) for name in names_of(config)]
    files = [name / "configs" / "train.yaml" if (name / "configs").is_dir() else name for name in names]
    if len(files) == 1 and not files[0].is_file() and not files[0].suffix:
        files = [bundle_folder(config) / "configs" / "train.yaml"]
    for file in files:
        if not file.is_file():
            raise UserError(file, expected="a bundle's train.yaml, its folder or its name", found="no such file")
    if not files:
        raise UserError("preview", expected="a bundle's train.yaml, its folder or its name", found="nothing")
    return tuple(files)


def read_config(files: Sequence[Path], overrides: Mapping[str, Any]) -> ConfigParser:
    """The config of a training as its run has it, checked as the run checks it.

    Args:
        files: in the order in which they are merged.
        overrides: id -> value, nested ids as on MONAI's command line.

    Raises:
        UserError: an unknown key, a value of another kind, a store that would lie in the installed package, or a config
            that is not of a training of this project.
    """
    call = Invocation(tuple(file.as_posix() for file in files), dict(overrides), "")
    call.check_overrides()
    root = {"bundle_root": str(files[0].resolve().parent.parent)} if "bundle_root" not in overrides else {}
    parser = ConfigParser(call.merged_config() | root)
    if absent := [key for key in _NEEDED if key not in parser]:
        raise UserError(
            files[-1], expected=f"the config of a training, with {absent[0].replace('#', '::')}", found="none"
        )
    check_places(call, keys=("store_dir",))
    if "num_workers" in parser:
        parser["num_workers"] = 0  # samples are made here; how many make them changes none
    return parser


def first_batches(parser: ConfigParser, samples: int) -> tuple[list[Batch], list[ObservedStore], Any]:
    """The batches of the first iterations of a run in one process, by value.

    Loader and ``prepare_batch`` are those of the config, with the same seed, addresses and random state as in the run's
    iterations. Neither a trainer nor a recorder is made, and of the volumes that are read in crops only those are
    prepared that are needed, see `observed_stores`.

    Args:
        parser: of `read_config`.
        samples: that the batches hold at least.

    Returns:
        the batches, the stores that they were read from, and the data set.

    Raises:
        UserError: as the run.
    """
    kept = random_states()
    try:
        with one_cause(), observed_stores() as stores:
            seed = int(parser.get_parsed_content("seed"))
            seed_weights(seed)
            loader = parser.get_parsed_content(f"{_TRAINER}train_data_loader")
            prepare = parser.get_parsed_content(f"{_TRAINER}prepare_batch")
            device = torch.device(parser.get_parsed_content("device"))
            randomness, positions, batches = AddressedRandomness(seed=seed), iter(loader.batch_sampler), []
            for iteration in range(1, -(-samples // loader.batch_size) + 1):
                batches.append(_batch(loader, next(positions), prepare, device, stores, randomness, iteration))
    finally:
        set_random_states(kept)
    return batches, stores, loader.dataset


def _batch(
    loader: Any,
    positions: Sequence[int],
    prepare: Callable,
    device: torch.device,
    stores: Sequence[ObservedStore],
    randomness: AddressedRandomness,
    iteration: int,
) -> Batch:
    items, reads, seconds = [], [], []
    for position in positions:
        for store in stores:
            store.reads = []
        begin, preparing = time.perf_counter(), sum(store.seconds for store in stores)
        items.append(loader.dataset[position])
        preparing -= sum(store.seconds for store in stores)
        seconds.append(time.perf_counter() - begin + preparing)
        reads.append([read for store in stores for read in store.reads or []])
    for store in stores:
        store.reads = None
    loaded = loader.collate_fn(items)
    randomness(SimpleNamespace(state=SimpleNamespace(iteration=iteration)))  # type: ignore[arg-type]
    begin = time.perf_counter()
    inputs, targets = prepare(loaded, device, False)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return Batch(loaded, inputs, targets, items, reads, seconds, time.perf_counter() - begin)
