"""The text of a UserError, and that its parts survive the way out of another process."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from monai_cl.errors import UserError, message

PARTS = {"expected": "a 3D volume", "found": "4 axes", "remedy": "split it"}


@pytest.mark.parametrize(
    ("where", "parts", "text"),
    [
        ("a.nii", PARTS, "a.nii: expected a 3D volume, found 4 axes; split it"),
        ("a.nii", {"expected": "a file", "found": "a folder"}, "a.nii: expected a file, found a folder"),
        ("a.nii", {"expected": "a name ending in .nii"}, "a.nii: expected a name ending in .nii"),
        (
            "a.nii",
            {"expected": "a header", "cause": "bad magic", "remedy": "copy it"},
            "a.nii: expected a header, found: bad magic; copy it",
        ),
        ("out", {"found": "exists already", "remedy": "choose another"}, "out: exists already; choose another"),
        ("out", {"found": "no such file"}, "out: no such file"),
        ("--fold", {"expected": "2 or more", "found": 0}, "--fold: expected 2 or more, found 0"),
        ("", {"expected": "a list", "found": "none"}, "expected a list, found none"),
        ("any sentence; and its remedy", {}, "any sentence; and its remedy"),
    ],
)
def test_the_text_has_the_parts_that_are_given(where, parts, text):
    assert str(UserError(where, **parts)) == message(where, **parts) == text


def test_it_is_a_value_error_whose_parts_are_read_as_text():
    error = UserError(3, expected=np.arange(2), cause=OSError(5, "no disk"))
    assert isinstance(error, ValueError)
    assert (error.where, error.expected, error.cause) == ("3", "[0 1]", "[Errno 5] no disk")
    assert error.found is error.remedy is None


def parts_of(error: UserError) -> dict[str, str | None]:
    return {"text": str(error), **vars(error)}


def test_pickling_keeps_the_text_and_the_parts():
    error = UserError("a.nii", **PARTS)
    assert parts_of(pickle.loads(pickle.dumps(error))) == parts_of(error)


def fail(_: int) -> None:
    raise UserError("a.nii", **PARTS)


def test_a_process_pool_hands_on_the_parts():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(UserError) as caught:
        pool.submit(fail, 0).result()
    assert (caught.value.where, caught.value.remedy) == ("a.nii", "split it")


class Failing(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        fail(index)


def test_a_loaders_worker_hands_on_the_text():
    with pytest.raises(UserError, match=r"(?s)^Caught UserError .*: a.nii: expected a 3D volume, found 4 axes; split"):
        next(iter(DataLoader(Failing(), num_workers=1)))
