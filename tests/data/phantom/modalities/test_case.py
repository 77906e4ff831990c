"""The synthetic sections: one mark differs between the classes, and nothing but its shape tells them apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import ks_2samp
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from monai_cl.data.phantom.modalities.anatomy import SIZE, TISSUES, grid
from monai_cl.data.phantom.modalities.case import MODALITIES, SectionCase, section_case
from monai_cl.data.phantom.modalities.marks import COUNTS, DISTRACTORS, RADII, _distractor, draw_marks

REACH = 6  # pixels; no point spread carries a mark further, and what scatters is less than a grey value


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_case_depends_on_its_address_alone(modality):
    case, again = section_case(3, 5, modality), section_case(3, 5, modality)
    assert (case.image == again.image).all()
    assert case.image.shape == (SIZE, SIZE)
    assert case.image.dtype == np.uint8
    assert not (case.image == section_case(3, 6, modality).image).all()
    assert (case.image == section_case(3, 5, modality, target=case.target).image).all()
    np.testing.assert_allclose(case.section.shares.sum(0), 1, atol=1e-5)
    assert len(case.section.shares) == len(TISSUES)


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_same_patient_with_and_without_a_nodule_differs_at_one_mark_alone(modality):
    for index in range(4):
        without, with_nodule = (section_case(0, index, modality, target=target) for target in (0, 1))
        near = (without.marks.covers[0] + without.marks.nodule) > 0
        far = distance_transform_edt(~near) > REACH
        difference = np.abs(with_nodule.image.astype(int) - without.image.astype(int))
        assert difference[near].max() > 12, "the change of the mark is not seen"
        assert difference[far].max(initial=0) <= 1


def test_every_mark_has_the_area_of_its_disc():
    y, x = grid()
    rng = np.random.default_rng(0)
    for kind in DISTRACTORS:
        for radius in (RADII[0], 4.5, RADII[1]):
            inside = np.clip(0.5 - _distractor(kind, x - 0.3, y + 0.2, radius, rng), 0, 1)
            np.testing.assert_allclose(inside.sum(), np.pi * radius**2, rtol=0.08, err_msg=f"{kind} {radius}")
    marks = draw_marks(rng, np.hypot(x, y) < 30)
    np.testing.assert_allclose(marks.nodule.sum(), np.pi * marks.radius**2, rtol=0.08)


def test_marks_are_apart_inside_of_organs_and_of_the_field_of_view():
    counts = []
    for index in range(30):
        case = section_case(1, index, MODALITIES[index % 4])
        covers = case.marks.covers
        counts.append(len(covers))
        assert (covers.sum(0) < 1.6).mean() > 0.995
        centre = [np.average(at, weights=case.marks.nodule) for at in np.indices((SIZE, SIZE))]
        assert case.section.organs[tuple(np.rint(centre).astype(int))]
    assert set(counts) == set(range(COUNTS[0], COUNTS[1] + 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((-1, 0, "CT"), "seed and index must be >= 0"),
        ((0, 0, "PT"), "modality must be one of"),
        ((0, -2, "CT"), ">= 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        section_case(*options)


# ---- no shortcut -----------------------------------------------------------------------------------------------------
def features(case: SectionCase) -> dict[str, float]:
    """Numbers that must not tell a nodule."""
    image = case.image / 255.0
    fine = image - gaussian_filter(image, 2)
    rows, columns = np.gradient(image)
    middle = np.median(image[8:-8, 8:-8])
    return {
        "mean": image.mean(),
        "standard deviation": image.std(),
        "99th percentile": float(np.percentile(image, 99)),
        "gradient energy": (rows**2 + columns**2).mean(),
        "fine structure": fine.std(),
        "brightest fine structure": float(np.percentile(fine, 99)),
        "bright pixels": (image > middle + 0.2).mean(),
        "dark pixels": (image < middle - 0.2).mean(),
        "size of the organs": case.section.organs.mean(),
    }


def either_way(target: np.ndarray, score: np.ndarray) -> float:
    """AUC of a score of unknown sign."""
    auc = roc_auc_score(target, score)
    return max(auc, 1 - auc)


def test_a_nodule_in_place_of_a_distractor_hardly_moves_any_feature():
    """Paired, so that few cases show it: the mean change is small beside the spread over patients."""
    for modality in MODALITIES:
        pairs = [[features(section_case(7, i, modality, target=target)) for target in (0, 1)] for i in range(6)]
        for name in pairs[0][0]:
            without, with_nodule = (np.array([pair[target][name] for pair in pairs]) for target in (0, 1))
            assert abs((with_nodule - without).mean()) <= 0.25 * without.std() + 1e-9, (modality, name)


@pytest.mark.slow
@pytest.mark.parametrize("modality", MODALITIES)
def test_no_simple_feature_tells_the_class_of_800_cases(modality):
    # of 400, thumbnails of CT tell .6 by chance: also where no nodule is drawn
    cases = [section_case(0, index, modality) for index in range(800)]
    target = np.array([case.target for case in cases])
    assert 0.42 < target.mean() < 0.58
    rows = [features(case) for case in cases]
    for name in rows[0]:
        assert either_way(target, np.array([row[name] for row in rows])) <= 0.6, name
    thumbnails = np.stack([case.image.reshape(8, 12, 8, 12).mean((1, 3)).ravel() for case in cases])
    score = cross_val_predict(RidgeClassifier(alpha=10), thumbnails, target, cv=5, method="decision_function")
    assert either_way(target, score) <= 0.6
    permuted = np.random.default_rng(0).permutation(target)
    score = cross_val_predict(RidgeClassifier(alpha=10), thumbnails, permuted, cv=5, method="decision_function")
    assert either_way(permuted, score) <= 0.6
    # what is drawn beside the nodule is of one distribution in both classes, Bonferroni over five outputs
    others = [
        (
            len(case.marks.covers),
            case.marks.radius,
            case.marks.contrasts.mean(),
            case.section.organs.mean(),
            case.section.shares[6].sum(),
        )
        for case in cases
    ]
    for column in np.array(others).T:
        assert ks_2samp(column[target == 0], column[target == 1]).pvalue > 0.01 / 5
    # and the mark itself tells it
    shape = np.array(
        [
            (case.marks.painted(case.target) * (case.marks.nodule > 0.9)).sum()
            / case.marks.nodule.sum()
            / case.marks.contrasts[0]
            for case in cases
        ]
    )
    assert either_way(target, shape) > 0.97
