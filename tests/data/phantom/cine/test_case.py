"""The synthetic cine: its geometry, its noise of position, and that the background does not give the answer away."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cl.data import cine_patient, position_parts
from monai_cl.data.phantom.cine.anatomy import KINDS, SHORTENING
from monai_cl.data.phantom.cine.render import LV, MYOCARDIUM, RV


def many(count: int, first: int = 0, **options):
    return [cine_patient(0, first + index, **options) for index in range(count)]


def ml(scan, label: int) -> float:
    return float((scan.label == label).sum() * abs(np.linalg.det(scan.affine[:3, :3])) / 1000)


def test_a_patient_depends_on_its_address_alone():
    (one, scans), (same, again), (other, _) = (
        cine_patient(3, 1, size=32),
        cine_patient(3, 1, size=32),
        cine_patient(3, 2),
    )
    assert one.phases == same.phases
    assert one.phases != other.phases
    for phase in ("ED", "ES"):
        assert (scans[phase].image == again[phase].image).all()
        assert (scans[phase].label == again[phase].label).all()


def test_both_phases_are_of_one_anatomy_and_the_heart_contracts():
    for patient, scans in many(4, size=48):
        assert scans["ED"].image.shape == scans["ES"].image.shape
        assert (scans["ED"].affine == scans["ES"].affine).all()
        assert ml(scans["ES"], LV) < ml(scans["ED"], LV)
        assert ml(scans["ES"], RV) < ml(scans["ED"], RV)
        assert patient.phases["ES"].axis < patient.phases["ED"].axis
        assert patient.kind in KINDS


def test_positions_follow_the_affine_and_say_where_the_heart_is():
    directions = set()
    for _, scans in many(6, size=32):
        for scan in scans.values():
            heights = scan.affine[2, 2] * np.arange(len(scan.positions)) + scan.affine[2, 3]
            directions.add(np.sign(scan.affine[2, 2]))
            assert (np.argsort(heights) == np.argsort(-scan.positions)).all()  # the base is nearest to the head
            shown = scan.label.any((0, 1))
            assert (shown == ((scan.positions >= 0) & (scan.positions <= 1))).all()
    assert directions == {-1, 1}


def test_without_noise_a_slice_s_share_of_the_stack_is_its_place_along_the_heart():
    for (_, scans), (_, noisy) in zip(many(6, size=32, position_noise=0), many(6, size=32)):
        count = len(scans["ED"].positions)
        assert np.sort(scans["ED"].positions) == pytest.approx((np.arange(count) + 0.5) / count)
        assert len(noisy["ED"].positions) >= count
        # systole: the base comes down to the apex, in slices that stay
        assert scans["ES"].positions.max() == pytest.approx(1 - 0.5 / count / (1 - SHORTENING))
    shares = [
        (np.arange(n := len(s["ED"].positions)) + 0.5) / n - np.sort(s["ED"].positions) for _, s in many(6, size=32)
    ]
    assert np.abs(np.concatenate(shares)).max() > 0.1


def test_wrong_options_are_named():
    for options, message in [
        ({"seed": -1}, "seed and index must be >= 0, got -1 and 0"),
        ({"size": 8}, "size must be >= 16 pixels, got 8"),
    ]:
        with pytest.raises(ValueError, match=message):
            cine_patient(**{"seed": 0, "index": 0, **options})


@pytest.mark.slow
def test_the_figures_of_the_cohort():
    cohort = many(40)
    mean = {
        phase: [np.mean([ml(scans[phase], label) for _, scans in cohort]) for label in (RV, MYOCARDIUM, LV)]
        for phase in ("ED", "ES")
    }
    for found, low, high in zip(mean["ED"] + mean["ES"], (80, 100, 100, 42, 95, 45), (120, 145, 130, 65, 130, 70)):
        assert low < found < high
    # volumes of the labels are those of the geometry
    for phase, index in (("ED", 0), ("ES", 1)):
        geometry = np.mean([patient.phases[phase].volume() for patient, _ in cohort])
        assert mean[phase][2] == pytest.approx(geometry, rel=0.05), (phase, index)
    wrong, empty = [], []
    for _, scans in cohort:
        for scan in scans.values():
            parts = 2 - position_parts(scan.affine, len(scan.positions), 3)
            shown = scan.label.any((0, 1))
            empty.extend(~shown)
            wrong.extend((parts != np.clip((3 * scan.positions).astype(int), 0, 2))[shown])
    assert 0.12 < np.mean(wrong) < 0.26
    assert 0.18 < np.mean(empty) < 0.32
    best = max(_threshold_dice(cohort[:10], threshold) for threshold in np.linspace(0.2, 0.95, 8))
    assert best <= 0.55


def _threshold_dice(cohort, threshold: float) -> float:
    scores = []
    for _, scans in cohort:
        for scan in scans.values():
            found, truth = scan.image > threshold * np.percentile(scan.image, 99), scan.label == LV
            scores.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    return float(np.mean(scores))


@pytest.mark.slow
def test_a_thumbnail_does_not_give_part_and_phase_away():
    from sklearn.linear_model import RidgeClassifier

    def thumbnails(cohort):
        rows, parts, phases = [], [], []
        for _, scans in cohort:
            for phase, scan in scans.items():
                low, high = np.percentile(scan.image, [1, 99])
                image = np.clip((scan.image - low) / (high - low), 0, 1)
                rows.append(image.reshape(8, 12, 8, 12, -1).mean((1, 3)).reshape(64, -1).T)
                parts.extend(position_parts(scan.affine, len(scan.positions), 3))
                phases.extend([phase] * len(scan.positions))
        return np.concatenate(rows), parts, phases

    (x, part, phase), (unseen, true_part, true_phase) = thumbnails(many(40)), thumbnails(many(20, first=40))
    assert RidgeClassifier(alpha=10.0).fit(x, part).score(unseen, true_part) <= 0.65
    assert RidgeClassifier(alpha=1.0).fit(x, phase).score(unseen, true_phase) <= 0.6
