"""A failure says what it stems from, not where a config was evaluated."""

from __future__ import annotations

from monai_cl.errors import UserError
from monai_cl.serving.failure import failure_message, reported_error


def wrapped(cause: Exception) -> Exception:
    """As MONAI's config parser hands it on."""
    try:
        try:
            raise cause
        except Exception as error:
            raise RuntimeError("Failed to evaluate ConfigExpression: x") from error
    except RuntimeError as error:
        return error


def test_a_users_error_is_its_own_words():
    assert failure_message(wrapped(UserError("a.nii.gz: expected\n a scan"))) == "a.nii.gz: expected a scan"
    assert failure_message(wrapped(wrapped(UserError("x")))) == "x"


def test_another_error_comes_with_its_class():
    assert failure_message(wrapped(MemoryError("none left"))) == "MemoryError: none left"
    assert failure_message(KeyError("epochs")) == "KeyError: 'epochs'"


def test_what_a_loaders_worker_hands_on_is_cut_to_the_error():
    text = "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent …):\nUserError: bad"
    assert failure_message(wrapped(UserError(text))) == "bad"


def test_of_several_processes_the_first_report_counts():
    lines = ["epoch 1", "error: a.nii.gz: damaged", "torch elastic ...", "error: process 1 lost another one"]
    assert reported_error(lines) == "a.nii.gz: damaged"
    assert reported_error(["epoch 1"]) is None
