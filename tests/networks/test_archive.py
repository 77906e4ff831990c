"""Damage of a file of weights that ``torch.load`` does not see."""

from __future__ import annotations

import io
import random
import warnings
from pathlib import Path

import pytest
import torch

from monai_cl.networks.archive import checksum_error


@pytest.fixture
def file(tmp_path) -> Path:
    network = torch.nn.Linear(40, 40)
    torch.save({"network": network.state_dict(), "iteration": 3}, tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def content_of(data: bytes) -> dict:
    return torch.load(io.BytesIO(data), weights_only=True)


def equal(one: dict, other: dict) -> bool:
    tensors = [content["network"]["weight"] for content in (one, other)]
    return one["iteration"] == other["iteration"] and torch.equal(*tensors)


def test_a_file_as_it_was_written_has_no_fault(file):
    assert checksum_error(file) is None


def test_no_flipped_bit_becomes_a_weight_unnoticed(file):
    data, draw = file.read_bytes(), random.Random(0)
    whole, unseen_by_torch = content_of(data), 0
    for _ in range(400):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        fault = checksum_error(file)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wrong = not equal(content_of(bytes(damaged)), whole)
        except Exception:
            continue  # torch.load refuses it by itself
        unseen_by_torch += wrong
        assert fault is not None or not wrong
    assert unseen_by_torch > 200  # or this test would show nothing


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_has_a_fault(file, share):
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    if share:  # an empty file is not an archive; torch.load refuses it
        assert checksum_error(file) is not None


def test_other_files_are_left_to_torch(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "text.pt").write_text("hello")
    assert checksum_error(tmp_path / "old.pt") is None
    assert checksum_error(tmp_path / "text.pt") is None
