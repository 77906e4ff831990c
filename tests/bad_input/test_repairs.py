"""What the table calls repaired equals the sound scan in every path: by voxels, by Dice, by pictures."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bad_input.case import Case
from tests.bad_input.paths import ORGANS, Outcome, take
from tests.bad_input.table import CASES
from tests.bad_input.world import Maker, World

REPAIRED = [case for case in CASES if case.sound is not None]
# tried by value at the doors they have: units and DICOM series (also in tests/data), a table of patients
ELSEWHERE = {
    "a NIfTI in micrometres, as its header says",
    "a NIfTI in metres, as its header says",
    "a .nrrd in centimetres, as its header says",
    "a DICOM series with a slice missing, with uneven_slices interpolate",
    "two acquisitions in one DICOM series, of which series_part chooses one",
    "a single DICOM slice",
    "unknown classes among known ones",
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
    assert {case.name for case in CASES if case.repair and not case.real} == {c.name for c in REPAIRED} | ELSEWHERE


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


def by_definition(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Dice per organ, in voxels; None where the truth has none."""
    found = {}
    for value, organ in list(ORGANS.items())[1:]:
        p, t = prediction == int(value), truth == int(value)
        found[organ] = 2 * (p & t).sum() / (p.sum() + t.sum()) if t.any() else None
    return found
