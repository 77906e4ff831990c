"""How often a training waits for its device: once a step for the guard, and once for the logs of ``interval`` steps.

These tests run on a CPU, where a tensor of the device looks like any other: every read between the start of an
iteration and its end counts, but for what is of the host on a GPU too (the batch as the loader gives it, an optimiser's
counters, the queue's counters, the quarter turns of slices).
"""

from __future__ import annotations

import functools
import math
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from torch.utils._python_dispatch import TorchDispatchMode

from monai_cl.engines.launch.method_parts import method_files
from tests.bundles.conftest import ORGANS, SPLEEN
from tests.bundles.conftest import PRETRAINING as MIXCL
from tests.bundles.head_runs import CLUSTERING, HEAD
from tests.bundles.slice_runs import CLASSIFICATION
from tests.bundles.slice_runs import PRETRAINING as WSP
from tests.bundles.test_clustering_run import BUNDLE as IMAGES
from tests.bundles.test_clustering_run import NETWORK, SMALL, images  # noqa: F401
from tests.bundles.workflow import BUNDLES, config_files

META, CINE = "meta_label_pretraining", "semi_supervised_segmentation"
STEPS, INTERVAL = 5, 3

# Ignite warns of MONAI's way to attach a scheduler; torch of a pinned memory that is not there
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow, pytest.mark.timeout(900)]

# bundle, overlays, options
CASES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    **{f"{bundle}-{name}": (bundle, (), {"method": name})
       for bundle in (WSP, IMAGES, META, CINE) for name in sorted(method_files(BUNDLES / bundle))},
    f"{IMAGES}-heads": (IMAGES, (), {"heads": ["target", "findings"], "supervised_mean": "labelled"}),
    **{f"{MIXCL}-{preset}": (MIXCL, (), {"preset": preset}) for preset in ("paper", "masked_hybrid", "aligned")},
    f"{MIXCL}-memory_bank": (MIXCL, (), {"preset": "memory_bank", "bank_same_dataset": True}),
    **{bundle: (bundle, (), {"overlay_cases": 0}) for bundle in (SPLEEN, ORGANS)},
    f"{ORGANS}-unlabelled": (ORGANS, (), {"overlay_cases": 0, "unlabelled_weight": 10.0, "unlabelled_batch": 1}),
    CLASSIFICATION: (CLASSIFICATION, (), {"run_id": "finetune"}),
    HEAD: (HEAD, (), {}),
    f"{HEAD}-pretrain": (HEAD, ("pretrain",), CLUSTERING),
}  # fmt: skip


def test_every_training_bundle_is_counted():
    trained = {file.parts[-3] for file in BUNDLES.glob("*/configs/train.yaml")}
    assert {bundle for bundle, _, _ in CASES.values()} == trained


@pytest.fixture(scope="module")
def start(
    training_options,
    slice_options,
    cine_options,
    head_options,
    images,  # noqa: F811
    tmp_path_factory,
) -> Callable[..., ConfigWorkflow]:
    """``start(case, **more options)``: its workflow, initialised."""
    own = {
        **{bundle: lambda b=bundle: training_options(b) for bundle in (MIXCL, SPLEEN, ORGANS)},
        **{bundle: lambda b=bundle: slice_options(b) for bundle in (WSP, CLASSIFICATION)},
        META: lambda: cine_options,
        CINE: lambda: {**cine_options, "scans_per_batch": 2, "labelled_batch": 2, "overlay_cases": 0},
        HEAD: lambda: head_options,
        IMAGES: lambda: {
            "dataset_dir": str(images), "store_dir": str(images.parent / "reads"), **NETWORK, **SMALL
        },
    }  # fmt: skip

    def make(case: str, **more: object) -> ConfigWorkflow:
        bundle, overlays, options = CASES[case]
        length = {"epochs": 1, "iterations": 100, "epoch_length": 100, "device": torch.device("cpu")}
        given = {
            **own[bundle](),
            **options,
            **length,
            "output_dir": str(tmp_path_factory.mktemp("reads") / "run"),
            **more,
        }
        made = ConfigWorkflow(
            config_file=config_files(bundle, "train", *overlays), logging_file=False, workflow_type="train",
            run_id=given.pop("run_id", "run"), **{**given, "train#recorder#interval": INTERVAL},
        )  # fmt: skip
        made.initialize()
        return made

    return make


class Enough(Exception):
    """Ends a training after the steps that are counted."""


class Reads(TorchDispatchMode):
    """Where a number of a tensor was asked for, by iteration; ``host``: addresses of tensors that do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self.host: set[int] = set()
        self.counts = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        waits = func.__name__.split(".")[0] in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2")
        chosen = func.__name__.startswith("index.") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if waits or chosen:
            self.note(args[0])
        return func(*args, **(kwargs or {}))

    def note(self, tensor: torch.Tensor) -> None:
        """Count a read of a tensor."""
        if self.counts and tensor.data_ptr() not in self.host:
            stack = traceback.extract_stack()
            if any("torch.arange(2" in (frame.line or "") for frame in stack[-4:]):  # axes, in MONAI's Dice loss
                return
            frames = [frame for frame in stack if "/monai_cl/" in frame.filename]
            self.found[-1].append(f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere")

    @contextmanager
    def paused(self) -> Iterator[None]:
        before, self.counts = self.counts, False
        try:
            yield
        finally:
            self.counts = before


def counted(trainer: Engine, monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Watch a trainer, which ends after some steps by `Enough`."""
    reads = Reads()
    for name in ("tolist", "numpy", "cpu"):
        original = getattr(torch.Tensor, name)

        def noted(tensor, *args, _original=original, **kwargs):
            reads.note(tensor)
            with reads.paused():
                return _original(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, noted)

    def unwatched(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args, **kwargs):
            with reads.paused():
                return function(*args, **kwargs)

        return call

    prepare = trainer.prepare_batch

    def prepared(*args, **kwargs):
        with reads.paused():
            batch = prepare(*args, **kwargs)
        inputs, targets = batch[:2]
        host = [inputs.get("turns")] if isinstance(inputs, dict) else []
        host += [targets.get("dataset")] if isinstance(targets, dict) else []
        host += [buffer for buffer in trainer.loss_function.buffers() if buffer.ndim == 0]
        reads.host = {tensor.data_ptr() for tensor in host if tensor is not None}
        return batch

    trainer.prepare_batch = prepared
    monkeypatch.setattr(trainer.optimizer, "step", unwatched(trainer.optimizer.step))

    @trainer.on(Events.ITERATION_STARTED)
    def begin() -> None:
        reads.found.append([])
        reads.counts = True

    @trainer.on(Events.ITERATION_COMPLETED)
    def end() -> None:
        reads.counts = False
        if len(reads.found) == STEPS:
            raise Enough

    return reads


@pytest.mark.parametrize("case", CASES)
def test_a_step_waits_for_the_device_once_and_the_logs_once_an_interval(start, case, monkeypatch):
    made = start(case)
    trainer, recorder = (made.parser.get_parsed_content(f"train#{name}") for name in ("trainer", "recorder"))
    reads, given = counted(trainer, monkeypatch), defaultdict(list)
    add_to_mean = recorder.add_to_mean

    def noted(name: str, value: float | torch.Tensor) -> None:
        with reads.paused():
            given[name].append((len(reads.found), float(value.detach() if isinstance(value, torch.Tensor) else value)))
        add_to_mean(name, value)

    monkeypatch.setattr(recorder, "add_to_mean", noted)
    with reads, pytest.raises(RuntimeError) as ended:  # MONAI's, around it
        made.run()
    assert isinstance(ended.value.__cause__, Enough)
    first, *later = ([read.split(":")[0] for read in step] for step in reads.found)
    guard, logs = ["step_guard.py"], ["unread.py"]
    assert later == [guard, [*guard, *logs], guard, guard], reads.found
    # before the first step losses check what they trust from then on, and counters are read
    assert first.count("step_guard.py") == 1
    assert not {"unread.py", "recorder.py", "progress.py"} & set(first), reads.found[0]
    # what is recorded is what each step had, to the last bit
    assert {"loss", "gradient_norm"} <= given.keys()
    for name, values in given.items():
        mean = [value for step, value in values if step <= INTERVAL and math.isfinite(value)]
        expected = [[INTERVAL, sum(mean) / len(mean)]] if mean else []
        assert recorder.curves.get(name, [])[: len(expected)] == expected
