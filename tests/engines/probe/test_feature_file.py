"""Features of new scans are kept from those of other scans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from torch.utils.data import DataLoader

from monai_cl.data import SliceFeatures, read_features, write_features
from monai_cl.engines import FeatureFile, LoadSlices, scan_items
from monai_cl.errors import UserError
from tests.engines.slice_lists import volume, write_scan


class Loaded(torch.utils.data.Dataset):
    """Items, as MONAI's data sets name them, and their slices."""

    def __init__(self, data: list[dict[str, str]]) -> None:
        self.data = data
        self.load = LoadSlices(size=16, window=(-100, 400))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.load(self.data[number])


def extract(scans: list[str], file: Path, **options: Any) -> None:
    """As the bundles' inference does; a slice's features are the mean and the largest of its pixels."""

    def step(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        pixels = batch["image"].flatten(2)
        return {"pred": torch.stack([pixels.mean(-1), pixels.amax(-1)], -1)}

    engine = Engine(step)
    FeatureFile(file, **options).attach(engine)
    engine.run(DataLoader(Loaded(scan_items(scans)), batch_size=1))


def scan(path: Path, seed: int) -> str:
    return write_scan(path, volume(seed)[0])


def test_the_same_scans_and_more_may_follow(tmp_path):
    first, second = scan(tmp_path / "a.nii.gz", 0), scan(tmp_path / "b.nii.gz", 1)
    file = tmp_path / "features.npz"
    extract([first], file)
    alone = read_features(file)
    extract([first, second], file)
    both = read_features(file)
    assert set(both.patient) == {"a", "b"}
    np.testing.assert_array_equal(both.features[both.patient == "a"], alone.features)


@pytest.mark.parametrize("place", ["c.nii.gz", "other/a.nii.gz"])
def test_features_of_other_scans_stay_unless_asked(tmp_path, place):
    file = tmp_path / "features.npz"
    extract([scan(tmp_path / "a.nii.gz", 0)], file)
    before, other = file.read_bytes(), scan(tmp_path / place, 1)
    with pytest.raises(UserError, match=r"features\.npz: expected .* those of the scans of this run, found those of a"):
        extract([other], file)
    assert file.read_bytes() == before
    extract([other], file, overwrite="true")
    assert set(read_features(file).patient) == {Path(place).name.partition(".")[0]}


def test_another_acquisition_of_the_series_is_another_scan(tmp_path):
    file, one = tmp_path / "features.npz", scan(tmp_path / "a.nii.gz", 0)
    extract([one], file, series_part="AcquisitionNumber=1")
    with pytest.raises(UserError, match="found those of a"):
        extract([one], file, series_part="AcquisitionNumber=2")


def test_features_that_name_no_scan_stay(tmp_path):
    file = write_features(tmp_path / "features.npz", SliceFeatures(np.ones((2, 2)), ["p", "q"], [0, 1]))
    before = file.read_bytes()
    with pytest.raises(UserError, match="found those of scans that it does not name"):
        extract([scan(tmp_path / "a.nii.gz", 0)], file)
    assert file.read_bytes() == before
