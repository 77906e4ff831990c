"""A synthetic head: its geometry, its labels, and that haemorrhage changes nothing but its surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from monai_cl.data import head_case
from monai_cl.data.phantom.head_ct.blood import draw_kinds
from monai_cl.data.phantom.head_ct.case import FINDINGS, SIZES


def test_a_patient_depends_on_its_address_alone():
    one, again = head_case(3, 1, size="quarter"), head_case(3, 1, size="quarter")
    assert (one.image == again.image).all()
    assert one.parameters == again.parameters
    others = [head_case(4, 1, size="quarter"), head_case(3, 1, size="quarter", part="test")]
    assert all(other.parameters["size"] != one.parameters["size"] for other in others)


def test_sizes_are_of_one_box_and_one_patient():
    cases = {size: head_case(0, 7, size=size, kinds=["intraparenchymal"]) for size in SIZES}
    corners, volumes = [], []
    for size, case in cases.items():
        assert case.image.shape == SIZES[size][::-1]
        spacing = np.diag(case.affine)[:3]
        corners.append(case.affine[:3, 3] - spacing / 2)
        volumes.append(case.volumes["intraparenchymal"])
        assert spacing * case.image.shape == pytest.approx([192, 224, 160])
        assert case.parameters["atrophy"] == cases["full"].parameters["atrophy"]
    np.testing.assert_allclose(corners, [corners[0]] * 3)
    assert max(volumes) < 1.1 * min(volumes)
    # the quarter is the half with four pixels in one
    half = cases["half"].image.reshape(48, 2, 56, 2, 20).mean((1, 3))
    assert abs(half - cases["quarter"].image).max() <= 1.5  # each is rounded


@pytest.mark.parametrize("kind", FINDINGS)
def test_haemorrhage_changes_only_what_is_near_it(kind):
    sick, healthy = (head_case(0, 11, kinds=kinds) for kinds in ([kind], []))
    assert (sick.target, healthy.target) == (1, 0)
    assert sick.parameters == healthy.parameters
    assert sick.findings == {name: int(name == kind) for name in FINDINGS}
    assert set(np.unique(sick.blood)) == {0, FINDINGS.index(kind) + 1}
    assert not healthy.blood.any()
    assert not any(healthy.slice_findings)
    differs = abs(sick.image.astype(int) - healthy.image) > 1
    spacing = np.diag(sick.affine)[:3]
    reach = distance_transform_edt(sick.blood == 0, spacing)
    assert reach[differs].max() < 21  # mm: voxels less than half full, a thick slice, the blur, oedema of up to 7 mm
    brighter = (sick.image.astype(int) - healthy.image)[sick.blood > 0]
    assert np.median(brighter) > 5


def test_labels_are_those_of_the_volumes_and_slices():
    case = head_case(0, 3, kinds=["subdural", "intraventricular"])
    area = np.prod(np.diag(case.affine)[:2]) * (case.blood > 0).sum((0, 1))
    shown = np.array(case.slice_findings, bool)
    assert shown[area > 40].all()
    assert 0 < shown.sum() < len(shown)
    assert case.findings == {kind: int(ml > 0.3) for kind, ml in case.volumes.items()}


def test_slices_count_from_the_feet():
    case = head_case(0, 2, size="quarter", kinds=[])
    head = (case.image > -300).sum((0, 1))
    assert head[-1] < 0.5 * head[8]  # the vertex is the smaller end
    assert case.affine[2, 2] > 0


def test_haematomas_lie_between_skull_and_brain_on_one_side():
    for kind in ("epidural", "subdural"):
        case = head_case(0, 5, kinds=[kind])
        x = case.affine[0, 0] * np.arange(case.image.shape[0]) + case.affine[0, 3]
        sides = np.sign(x[np.where(case.blood)[0]])
        assert abs(sides.mean()) > 0.98
        bone = distance_transform_edt(case.image < 300, np.diag(case.affine)[:3])
        assert np.median(bone[case.blood > 0]) < 14


def test_kinds_are_drawn_by_their_weights_without_repeats():
    drawn = [draw_kinds(np.random.default_rng(seed)) for seed in range(2000)]
    assert np.mean([len(kinds) >= 2 for kinds in drawn]) == pytest.approx(0.35, abs=0.03)
    assert np.mean([len(kinds) == 3 for kinds in drawn]) == pytest.approx(0.12, abs=0.02)
    assert {len(kinds) for kinds in drawn} == {1, 2, 3}
    assert all(len(set(kinds)) == len(kinds) for kinds in drawn)
    first = [kinds[0] for kinds in drawn]
    assert first.count("subdural") / len(first) == pytest.approx(0.26, abs=0.04)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed and index must be >= 0, got -1 and 0"),
        ({"size": "huge"}, "a size of full, half, quarter, got training, huge"),
        ({"part": "x"}, "expected a part of pretraining, training, validation, test"),
        ({"kinds": ["stroke"]}, r"kinds must be of epidural.* got \['stroke'\]"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        head_case(**{"seed": 0, "index": 0, **options})
