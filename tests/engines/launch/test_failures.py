"""Failures that are not user errors, reported in one line that says what to do."""

from __future__ import annotations

import errno
import os

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator

from monai_cl.engines.launch.failures import explain_failure

CONFIG = {
    "batch_size": 2,
    "patch_size": [96, 96, 96],
    "feature_size": "@size",
    "validate": {"inferer": {"_target_": "SlidingWindowInferer", "sw_batch_size": 4}},
}
MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 400000000000 bytes."),
    RuntimeError("CUDA error: out of memory"),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]


def raised(error: BaseException, *causes: BaseException) -> BaseException:
    """The error as it arrives: raised, and wrapped in others."""
    try:
        raise error
    except BaseException as found:
        for wrapper in causes:
            try:
                raise wrapper from found
            except BaseException as outer:
                found = outer
        return found


@pytest.mark.parametrize("error", MEMORY[:5], ids=lambda error: str(error)[:20])
def test_lack_of_memory_says_which_key_to_lower_and_what_it_is_now(error):
    line = explain_failure(raised(error, RuntimeError("Failed to evaluate '@train#trainer.run()'")), CONFIG)
    assert "training: lower --batch_size (now 2) or --patch_size (now [96, 96, 96]) or --feature_size (" in line
    assert "\n" not in line


def test_memory_that_really_is_not_available_is_recognised():
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert "lower --batch_size (now 2)" in explain_failure(caught.value, CONFIG)


def test_in_a_validation_the_windows_at_once_are_the_key():
    def fail(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": torch.zeros(1, 1), "label": torch.zeros(1, 1)}],
        network=torch.nn.Identity(),
        inferer=fail,
        decollate=False,
    )
    with pytest.raises(torch.OutOfMemoryError) as caught:
        evaluator.run()
    line = explain_failure(caught.value, CONFIG)
    assert "out of memory on the GPU for validating: lower --validate#inferer#sw_batch_size (now 4) or" in line
    assert "--batch_size" not in line.replace("sw_batch_size", "")
    trained = explain_failure(caught.value, {**CONFIG, "checkpoint": "model.pt", "invert_device": "@device"})
    assert "sw_batch_size (now 4), or set --invert_device cpu (" in trained
    assert "--patch_size" not in trained


def test_in_a_training_step_it_is_not_taken_for_a_validation():
    def fail(engine, batch):
        raise MemoryError

    with pytest.raises(MemoryError) as caught:
        Engine(fail).run([0])
    assert "training: lower --batch_size" in explain_failure(caught.value, CONFIG)


def test_without_a_config_the_line_is_a_sentence_all_the_same():
    assert "for working: lower the size of what it works on" in explain_failure(raised(MemoryError()))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "has vanished"),
        (errno.ESTALE, "has vanished"),
        (errno.EIO, "cannot be read or written"),
        (errno.EACCES, "may not be read or written"),
        (errno.EROFS, "lies on a disk that is read-only"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the quota is used up"),
    ],
)
def test_a_disk_that_fails_is_named_with_its_file(number, words):
    line = explain_failure(raised(OSError(number, os.strerror(number), "/data/store/a/image.b2nd")))
    assert line.startswith("/data/store/a/image.b2nd: ")
    assert words in line
    assert "--resume auto" in line


def test_a_full_disk_without_a_name_is_reported_too():
    assert "the disk is full" in explain_failure(raised(OSError(errno.ENOSPC, "No space left on device")))


def test_a_worker_that_was_killed_is_reported_with_the_key():
    killed = RuntimeError("DataLoader worker (pid 71) is killed by signal: Killed. ")
    training, inference = {"num_workers": 4, "resume": "auto"}, {"dataloader": {"num_workers": 4}}
    line = explain_failure(raised(killed), training)
    assert "lower --num_workers" in line
    assert line.endswith("--resume auto continues from the last checkpoint")
    line = explain_failure(raised(killed), inference)
    assert "lower --dataloader#num_workers" in line
    assert "--resume" not in line
    bus = RuntimeError(
        "DataLoader worker (pid 71) is killed by signal: Bus error. It is possible that ... shared memory"
    )
    assert "/dev/shm" in explain_failure(raised(bus))


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), KeyError("x"), OSError("odd"), ValueError("a")])
def test_other_failures_are_not_explained_away(error):
    assert explain_failure(raised(error)) is None
