"""The synthetic cirrhosis cohort: reproducible, plausible, and the stage shows in the shape and nowhere else."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_cl.data import cirrhosis_case
from monai_cl.data.phantom.cirrhosis.lattice import AxialLattice
from monai_cl.data.phantom.cirrhosis.shape import draw_shape, draw_stage, read_grade
from monai_cl.data.phantom.cirrhosis.structure import LIVER, SPLEEN
from monai_cl.data.phantom.shapes import Ellipsoid, Lattice

SMALL = dict(cohort="histology", size=88)


def test_a_case_depends_on_its_address_alone():
    one, again = cirrhosis_case(3, 5, **SMALL), cirrhosis_case(3, 5, **SMALL)
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.label, again.label)
    assert (one.stage, one.grade, one.shape) == (again.stage, again.grade, again.shape)
    for other in (cirrhosis_case(3, 6, **SMALL), cirrhosis_case(4, 5, **SMALL), cirrhosis_case(3, 5, size=88)):
        assert other.image.shape != one.image.shape or (other.image != one.image).any()


def test_a_case_has_the_form_it_promises():
    case = cirrhosis_case(0, 0, cohort="histology", size=96)
    assert case.image.shape == case.label.shape
    assert case.image.shape[:2] == (96, 96)
    assert 12 <= case.image.shape[2] <= 16
    assert case.image.dtype == np.int16
    assert case.label.dtype == np.uint8
    assert set(np.unique(case.label)) == {0, LIVER, SPLEEN}
    assert case.histology == int(case.stage >= 3)
    assert cirrhosis_case(0, 0, size=64).histology is None
    assert (np.diag(case.affine)[:3] == case.spacing).all()
    assert 330 <= 96 * case.spacing[0] <= 400
    assert -1024 <= case.image.min() < -900
    assert case.image.max() < 1500


def test_organs_lie_where_they_belong():
    """Liver on the patient's right, spleen on the left and behind; air in the lungs above, none of it below."""
    for index in range(6):
        case = cirrhosis_case(2, index, **SMALL)
        centre = {label: np.argwhere(case.label == label).mean(axis=0) for label in (LIVER, SPLEEN)}
        assert centre[LIVER][0] > 48 > 40 > centre[SPLEEN][0]
        assert centre[SPLEEN][1] < centre[LIVER][1]
        inside = case.image[24:64, 34:54]
        assert (inside[..., -1] < -600).mean() > 0.1
        assert (inside[..., 0] < -600).mean() < 0.1


def test_liver_brightness_is_that_of_its_phase():
    for index in range(8):
        case = cirrhosis_case(4, index, **SMALL)
        assert 0 < np.median(case.image[case.label == LIVER]) < 160


def test_another_stage_is_the_same_patient_with_another_liver():
    healthy, sick = (cirrhosis_case(1, 8, stage=stage, **SMALL) for stage in (0, 4))
    np.testing.assert_array_equal(healthy.affine, sick.affine)
    assert (healthy.phase, healthy.noise) == (sick.phase, sick.noise)
    assert sick.shape.nodularity > 4 * healthy.shape.nodularity
    liver = (healthy.label == LIVER) | (sick.label == LIVER)
    near = np.zeros_like(liver)
    for shift in range(-6, 7):
        for axis in (0, 1):
            near |= np.roll(liver, shift, axis)
    far = ~near & (healthy.label != SPLEEN) & (sick.label != SPLEEN)
    differs = np.abs(healthy.image.astype(int) - sick.image)[far] > 0
    assert differs.mean() < 0.02


def test_local_signs_show_each_at_its_own_height_and_nowhere_else():
    opened = 0
    for index in range(6):
        healthy, sick = (cirrhosis_case(1, index, stage=stage, signs="local", **SMALL) for stage in (0, 4))
        np.testing.assert_array_equal(healthy.affine, sick.affine)
        assert sick.shape.nodularity == healthy.shape.nodularity
        assert sick.shape.caudate > healthy.shape.caudate
        assert sick.shape.spleen > healthy.shape.spleen
        opened += (sick.shape.vein > 0) - (healthy.shape.vein > 0)
        differs = sick.image != healthy.image
        heights = sick.affine[2, 2] * np.arange(differs.shape[2]) + sick.affine[2, 3]
        shown = differs.any(axis=(0, 1))
        assert shown[(heights > 0) & (heights < 60)].any()
        assert not shown[(heights < -85) | (heights > 105)].any()
        x = sick.affine[0, 0] * np.arange(differs.shape[0]) + sick.affine[0, 3]
        assert not differs[x > 100].any()  # most of the right lobe is as it was
    assert opened == 6


@pytest.mark.slow
def test_local_signs_are_told_by_their_true_shape_and_by_no_thumbnail():
    truth, shapes, thumbnails = [], [], []
    for index in range(400):
        case = cirrhosis_case(11, index, signs="local", **SMALL)
        truth.append(case.stage >= 3)
        shapes.append(astuple(case.shape))
        unit = (np.clip(case.image, -100, 400) + 100) / 500
        thumbnails.append(unit.reshape(8, 11, 8, 11, -1).mean(axis=(1, 3, 4)).ravel())
    assert auc_of(np.array(shapes), np.array(truth)) >= 0.95
    assert auc_of(np.array(thumbnails), np.array(truth)) <= 0.70


def test_nodules_roughen_the_surface_step_by_step():
    def roughness(stage: int) -> float:
        """Pixels at the edge of the mask, for its area: more of them on a scalloped surface."""
        values = []
        for index in range(4):
            mask = cirrhosis_case(1, index, cohort="histology", size=176, stage=stage).label == LIVER
            inner = mask.copy()
            for axis in (0, 1):
                inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
            values.append((mask & ~inner).sum() / np.sqrt(mask.sum()))
        return float(np.mean(values))

    rough = [roughness(stage) for stage in (0, 2, 4)]
    assert rough[0] < rough[1] < rough[2]
    assert rough[2] > 1.1 * rough[0]


def test_field_of_view_does_not_depend_on_the_size():
    small, large = (cirrhosis_case(5, 2, cohort="histology", size=size) for size in (64, 128))
    np.testing.assert_allclose(small.spacing[:2] * 64, large.spacing[:2] * 128)
    assert small.spacing[2] == large.spacing[2]
    areas = [float((case.label == LIVER).sum() * case.spacing[0] ** 2) for case in (small, large)]
    assert areas[0] == pytest.approx(areas[1], rel=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed and index must be >= 0"),
        ({"cohort": "biopsies"}, "cohort must be one of grades, histology, got 'biopsies'"),
        ({"size": 8}, "size must be >= 16 pixels, got 8"),
        ({"stage": 5}, "stage must be 0 to 4 or None, got 5"),
        ({"signs": "all"}, "signs must be one of everywhere, local, got 'all'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cirrhosis_case(**({"seed": 0, "index": 0} | options))


def test_lattice_that_broadcasts_gives_the_distances_of_a_plain_one():
    lattice = AxialLattice(np.linspace(-40, 50, 5), size=30, pixel=7.0, shift=(4, -9), roll=12)
    plain = Lattice(lattice.affine, lattice.shape)
    organ = Ellipsoid(np.array([20.0, -10, 12]), np.array([60.0, 40, 30]), np.eye(3))
    np.testing.assert_allclose(organ.distance(lattice), organ.distance(plain), atol=1e-2)
    box = (slice(1, 4), slice(5, 20), slice(3, 25))
    np.testing.assert_allclose(organ.distance(lattice.box(box)), organ.distance(plain)[box], atol=1e-2)
    # the centre of the field of view is the patient's midline, shifted
    x, y, _ = lattice.points
    turn = np.deg2rad(12)
    centre = [-4 * np.cos(turn) - 9 * np.sin(turn), -4 * np.sin(turn) + 9 * np.cos(turn)]
    np.testing.assert_allclose([x.mean(), y.mean()], centre, atol=1e-3)


def test_grades_are_as_common_as_in_the_paper_and_a_noisy_reading():
    rng = np.random.default_rng(0)
    drawn = [draw_stage(rng, "grades") for _ in range(8000)]
    grades = np.array([read_grade(rng, severity) for _, severity in drawn])
    np.testing.assert_allclose(np.bincount(grades) / 8000, [0.67, 0.15, 0.14, 0.04], atol=0.02)
    biopsies = [draw_stage(rng, "histology") for _ in range(3000)]
    truth = [stage >= 3 for stage, _ in biopsies]
    assert 0.82 < roc_auc_score(truth, [read_grade(rng, severity) for _, severity in biopsies]) < 0.91


def auc_of(features: np.ndarray, truth: np.ndarray) -> float:
    """Best cross-validated AUC of a logistic regression over four strengths of its penalty."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    best = 0.0
    for strength in (1e-3, 1e-2, 0.1, 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        found = cross_val_predict(model, features, truth, cv=folds, method="decision_function")
        best = max(best, roc_auc_score(truth, found))
    return best


def test_true_shape_tells_the_stage_and_each_part_of_it_a_little():
    rng = np.random.default_rng(1)
    drawn = [draw_stage(rng, "histology") for _ in range(1500)]
    truth = np.array([stage >= 3 for stage, _ in drawn])
    shapes = [draw_shape(rng, severity) for _, severity in drawn]
    assert auc_of(np.array([astuple(shape) for shape in shapes]), truth) >= 0.95
    coarse = np.array([astuple(replace(shape, nodularity=0.0, nodule=0.0)) for shape in shapes])
    assert auc_of(coarse, truth) < 0.95


@pytest.mark.slow
def test_no_shortcut_tells_the_stage():
    """Each scalar within .5 ± .06, a thumbnail of 8 x 8 at most .70; see the module docstring of cirrhosis_shape."""
    scalars: dict[str, list[float]] = {}
    thumbnails, middles, truth = [], [], []
    for index in range(700):
        case = cirrhosis_case(11, index, **SMALL)
        truth.append(case.stage >= 3)
        with_liver = np.flatnonzero((case.label == LIVER).any(axis=(0, 1)))
        area = case.spacing[0] ** 2
        unit = (np.clip(case.image, -100, 400) + 100) / 500
        found = {
            "slice count": case.image.shape[2],
            "slices with liver": len(with_liver),
            "slice spacing": case.spacing[2],
            "pixel spacing": case.spacing[0],
            "mean intensity": unit.mean(),
            "deviation": unit.std(),
            "mean HU": case.image.mean(),
            "body area": (case.image > -500).mean() * area,
            "liver area": (case.label == LIVER).sum() * area / case.image.shape[2],
            "liver area where it is": (case.label == LIVER).sum() * area / len(with_liver),
            "liver HU": case.image[case.label == LIVER].mean(),
            "liver deviation": case.image[case.label == LIVER].std(),
        }
        for k, share in enumerate(np.histogram(unit, 16, (0, 1))[0] / unit.size):
            found[f"histogram {k}"] = share
        for name, value in found.items():
            scalars.setdefault(name, []).append(float(value))
        small = unit.reshape(8, 11, 8, 11, -1).mean(axis=(1, 3))
        thumbnails.append(small.mean(axis=-1).ravel())
        middles.append(small[..., with_liver[len(with_liver) // 2]].ravel())
    truth = np.array(truth)
    found = {name: roc_auc_score(truth, values) for name, values in scalars.items()}
    assert {name: round(auc, 3) for name, auc in found.items() if abs(auc - 0.5) > 0.06} == {}
    assert auc_of(np.array(thumbnails), truth) <= 0.70
    assert auc_of(np.array(middles), truth) <= 0.70
