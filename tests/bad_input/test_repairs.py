"""What the table calls repaired equals the sound scan in every path: by voxels, by Dice, by pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from monai_cl.data import read_volume
from monai_cl.data.datalist.items import reading_options
from monai_cl.data.store.entry import draw_coordinates
from tests.bad_input.case import Case
from tests.bad_input.paths import ORGANS, SIZE, Outcome, take
from tests.bad_input.table import CASES
from tests.bad_input.world import Maker, World
from tests.data.volume_files import write_nifti

REPAIRED = [case for case in CASES if case.sound is not None]
# their makers leave no label: here they get one, and a sound twin that is the scan as one NIfTI file in mm
LABELLED = {
    "a NIfTI in micrometres, as its header says",
    "a NIfTI in metres, as its header says",
    "a .nrrd in centimetres, as its header says",
    "a DICOM series with a slice missing, with uneven_slices interpolate",
    "two acquisitions in one DICOM series, of which series_part chooses one",
    "a single DICOM slice",
    "a report, RTSTRUCT, DICOM SEG, dose, secondary capture … among the slices of a DICOM series",
}
# a table of patients, which only `datalist from_table` reads
ELSEWHERE = {
    "unknown classes among known ones",
    # what `datalist create` writes; the voxels that take no part: tests/data/test_ignored_voxels.py and the runs of
    # tests/bundles/test_ignored_voxels.py
    "a folder of nnU-Net whose labels have the reserved word ignore",
    "regions of nnU-Net that do not overlap",
}
# two trainings, evaluations and inferences per row: this one for the fast tests
FAST = {"a label stored in another order of axes, on the same grid"}


def _marks(case: Case) -> list:
    return [] if case.name in FAST else [pytest.mark.slow]


def outcome(folder, make: Maker) -> Outcome:
    folder.mkdir()
    world = World(folder)
    world.document |= {"labels": dict(ORGANS), "label_map": {"1": 1, "2": 2, "5": 3}}
    make(world)
    return take(world)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The outcome of a maker, made once."""
    made: dict[Maker, Outcome] = {}

    def get(make: Maker) -> Outcome:
        if make not in made:
            made[make] = outcome(tmp_path_factory.mktemp("sound") / "world", make)
        return made[make]

    return get


def test_every_repair_is_tried_in_every_path_or_said_to_concern_one():
    assert {case.name for case in CASES if case.repair and not case.real} == {
        c.name for c in REPAIRED
    } | LABELLED | ELSEWHERE


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=_marks(case)) for case in REPAIRED],
    ids=str,
)
def test_a_repair_is_the_same_in_every_path(case: Case, sound, tmp_path):
    expected, found = sound(case.sound), outcome(tmp_path / "world", case.make)
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.label, expected.label)
    np.testing.assert_array_equal(found.submitted, expected.submitted)
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)
    for dice in (found.validated, found.evaluated):
        assert dice == pytest.approx(expected.validated, abs=1e-6)
        assert dice == pytest.approx(by_definition(found.segmented, found.label), abs=1e-6)
    np.testing.assert_array_equal(found.segmented, expected.segmented)
    assert found.overlay == expected.overlay
    assert found.slices[0] == expected.slices[0]
    np.testing.assert_array_equal(found.slices[1], expected.slices[1])
    assert found.page
    assert found.page == expected.page


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case.name in LABELLED], ids=str)
def test_a_repaired_scan_with_a_label_is_its_twin_in_nifti_in_every_path(case: Case, tmp_path, monkeypatch):
    # headers round differently: where a voxel of the network lies half way between two, either is the nearest
    monkeypatch.setitem(SIZE, "spacing", [2.9, 3.1, 2.3])
    # of many voxels a class some are drawn by the hash of the file, and crops lie around those: here all are kept
    monkeypatch.setitem(draw_coordinates.__kwdefaults__, "count", 10**7)
    twin = outcome(tmp_path / "twin", labelled(case, as_nifti=True))
    found = outcome(tmp_path / "world", labelled(case, as_nifti=False))
    np.testing.assert_array_equal(found.image, twin.image)
    np.testing.assert_array_equal(found.label, twin.label)
    np.testing.assert_array_equal(found.submitted, twin.submitted)
    assert found.losses == pytest.approx(twin.losses, rel=0.001)
    for dice in (found.validated, found.evaluated):
        assert dice == pytest.approx(twin.validated, abs=0.005)
        assert dice == pytest.approx(by_definition(found.segmented, found.label), abs=1e-6)
    assert (found.segmented == twin.segmented).mean() > 0.99
    pictures = [np.asarray(Image.open(io.BytesIO(one.overlay)).convert("L"), float) for one in (found, twin)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 2
    assert found.slices[0] == twin.slices[0]
    np.testing.assert_allclose(found.slices[1], twin.slices[1], atol=1e-4)
    assert len(found.page) == len(twin.page) > 0


def labelled(case: Case, *, as_nifti: bool) -> Maker:
    """The case with a label on the scan's grid; or its twin, the same voxels as NIfTI."""

    def make(world: World) -> None:
        case.make(world)
        if "uneven_slices" in case.name:
            world.bad["uneven_slices"] = "interpolate"
        volume = read_volume(world.image, **reading_options(world.bad))
        if as_nifti:
            for key in ("series_part", "uneven_slices"):
                world.bad.pop(key, None)
            write_nifti(world.root / "twin.nii.gz", volume.array, volume.affine)
            world.bad["image"] = "twin.nii.gz"
        label = np.zeros(volume.array.shape, np.uint8)
        for value, start in ((1, 2), (2, 8), (5, 14)):
            label[start : start + 5, 4:9] = value
        write_nifti(world.root / "bad_label.nii.gz", label, volume.affine)
        world.bad.update(label="bad_label.nii.gz", id="bad")

    return make


def by_definition(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Dice per organ, in voxels; None where the truth has none."""
    found = {}
    for value, organ in list(ORGANS.items())[1:]:
        p, t = prediction == int(value), truth == int(value)
        found[organ] = 2 * (p & t).sum() / (p.sum() + t.sum()) if t.any() else None
    return found
