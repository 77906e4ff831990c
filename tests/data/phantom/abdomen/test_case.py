"""The synthetic abdomen: reproducible, plausible, the same patient on every grid, and not solvable by a threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, map_coordinates

from monai_cl.data.phantom.abdomen.anatomy import sample_anatomy
from monai_cl.data.phantom.abdomen.case import PhantomCase, phantom_case
from monai_cl.data.phantom.abdomen.kinds import KINDS, PRETRAINING
from monai_cl.data.phantom.abdomen.render import correlated_noise, render
from monai_cl.data.phantom.abdomen.scan import sample_scan
from monai_cl.data.phantom.abdomen.structure import LESIONS, ORGANS, Anatomy, Structure
from monai_cl.data.phantom.shapes import CosineSum, Ellipsoid, Shape

# millilitres; the widest range seen in adults without surgery, less what the field of view may cut
PLAUSIBLE_ML = {
    "spleen": (35, 600),
    "right kidney": (55, 330),
    "left kidney": (55, 330),
    "liver": (600, 2800),
    "stomach": (60, 900),
    "aorta": (20, 180),
    "pancreas": (20, 180),
}


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    return [phantom_case(11, index, spacing=5.0) for index in range(20)]


def centroid(case: PhantomCase, organ: int) -> np.ndarray:
    voxels = np.argwhere(case.label == organ)
    return voxels.mean(axis=0) @ case.affine[:3, :3].T + case.affine[:3, 3]


def test_a_case_depends_on_its_address_only():
    first, again = phantom_case(3, 2, spacing=6.0), phantom_case(3, 2, spacing=6.0)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    np.testing.assert_array_equal(first.affine, again.affine)
    for seed, index, kind in ((4, 2, "target"), (3, 1, "target"), (3, 2, "spleen")):
        other = phantom_case(seed, index, kind=kind, spacing=6.0)
        assert other.image.shape != first.image.shape or (other.image != first.image).any()


def test_types_and_ids(cases):
    for case in cases:
        assert case.image.dtype == np.int16
        assert case.label.dtype == np.uint8
        assert set(np.unique(case.label)) == {0, *ORGANS}
        assert case.image.min() >= -1024
        assert case.image.max() <= 3071
        np.testing.assert_allclose(np.prod(case.spacing) ** (1 / 3), 5.0, rtol=0.11)


@pytest.mark.parametrize("organ", ORGANS)
def test_organ_volumes_are_plausible(cases, organ):
    volumes = [(c.label == organ).sum() * np.prod(c.spacing) / 1000 for c in cases]
    low, high = PLAUSIBLE_ML[ORGANS[organ]]
    assert low < min(volumes)
    assert max(volumes) < high
    assert np.std(volumes) / np.mean(volumes) > 0.1


def test_organs_lie_where_they_should(cases):
    at = {name: np.array([centroid(c, k) for c in cases]) for k, name in ORGANS.items()}
    x, y, z = 0, 1, 2
    assert (at["liver"][:, x] > 20).all()
    assert (at["spleen"][:, x] < -40).all()
    assert (at["right kidney"][:, x] > 20).all()
    assert (at["left kidney"][:, x] < -20).all()
    assert (at["stomach"][:, x] < 0).all()
    assert (at["stomach"][:, y] > at["spleen"][:, y]).all()
    assert (at["stomach"][:, y] > at["left kidney"][:, y]).all()
    for side in ("right kidney", "left kidney"):
        assert (at[side][:, y] < at["pancreas"][:, y]).all()
        assert (at[side][:, z] < at["liver"][:, z]).all()
    assert (at["aorta"][:, x] < 5).all()
    assert (at["aorta"][:, y] < at["pancreas"][:, y]).all()


def test_pancreas_bridges_from_the_aortas_right_to_the_spleens_side(cases):
    for case in cases:
        x = np.argwhere(case.label == 7) @ case.affine[:3, :3].T + case.affine[:3, 3]
        assert x[:, 0].max() > 5
        assert x[:, 0].min() < centroid(case, 6)[0] - 25


def test_spine_lies_behind_the_aorta(cases):
    for case in cases:
        aorta = centroid(case, 6)
        i, j, k = np.rint(np.linalg.inv(case.affine) @ [0, aorta[1] - 30 * case.anatomy.scale, 0, 1])[:3].astype(int)
        behind = case.image[i - 2 : i + 3, j - 2 : j + 3, k - 4 : k + 5]
        assert np.percentile(behind, 75) > 85


def test_tissue_has_the_hu_the_anatomy_says(cases):
    for case in cases:
        for structure in case.anatomy.structures:
            # the stomach and the kidneys are coats of several tissues
            if structure.label in (1, 4, 6):
                inside = case.image[binary_erosion(case.label == structure.label)]
                assert np.median(inside) == pytest.approx(structure.hu, abs=14)


def test_body_is_fat_muscle_and_air(cases):
    for case in cases:
        body = case.image[case.image > -300]
        assert 0.1 < np.mean((body > -150) & (body < -50)) < 0.8
        assert np.mean((body > 20) & (body < 220)) > 0.2
        assert np.mean(case.image < -700) > 0.05
        assert np.mean(case.image > 300) < 0.05


def test_no_threshold_finds_an_organ(cases):
    """The best HU window of each case, chosen with the answer at hand, must not segment a soft organ."""
    for organ in (1, 4, 5, 7):
        best = []
        for case in cases[:8]:
            truth = case.label == organ
            edges = np.arange(-100, 330, 10)
            inside, total = (np.histogram(v, edges)[0].cumsum() for v in (case.image[truth], case.image))
            inside, total = (np.concatenate([[0], c]) for c in (inside, total))
            hits, size = inside[None] - inside[:, None], total[None] - total[:, None]
            best.append((2 * hits / np.maximum(size + truth.sum(), 1)).max())
        assert np.mean(best) < (0.75 if organ == 4 else 0.5), ORGANS[organ]


def test_flipping_the_grid_flips_the_scan():
    anatomy = sample_anatomy(np.random.default_rng(5))
    ras = np.array([[4.0, 0, 0, -180], [0, 4, 0, -150], [0, 0, 6, -90], [0, 0, 0, 1]])
    shape = (90, 70, 30)
    flips = np.array([[-1.0, 0, 0, 89], [0, -1, 0, 69], [0, 0, 1, 0], [0, 0, 0, 1]])
    a, label_a = render(anatomy, shape=shape, affine=ras, rng=np.random.default_rng(0), noise=0)
    b, label_b = render(anatomy, shape=shape, affine=ras @ flips, rng=np.random.default_rng(0), noise=0)
    assert np.mean(label_a != label_b[::-1, ::-1]) < 1e-4
    assert np.mean(np.abs(a - b[::-1, ::-1].astype(int)) > 1) < 1e-3


def test_the_same_patient_appears_on_any_grid():
    anatomy = sample_anatomy(np.random.default_rng(6))
    scans = [
        sample_scan(np.random.default_rng(s), anatomy, spacing=mm, orientations=(code,), oblique_probability=p)
        for s, mm, code, p in ((0, 3.5, "RAS", 0.0), (1, 2.8, "IPL", 1.0))
    ]
    (hu, label), (other_hu, other_label) = (
        render(anatomy, shape=s.shape, affine=s.affine, rng=np.random.default_rng(0), noise=0) for s in scans
    )
    index = np.stack(np.meshgrid(*map(np.arange, hu.shape), indexing="ij"))
    to_other = np.linalg.inv(scans[1].affine) @ scans[0].affine
    there = np.tensordot(to_other[:3, :3], index, axes=1) + to_other[:3, 3][:, None, None, None]
    limits = np.array(other_hu.shape)[:, None, None, None] - 1
    seen = ((there >= 0) & (there <= limits)).all(axis=0)
    resampled = map_coordinates(other_label, there, order=0, prefilter=False)
    for organ in ORGANS:
        a, b = (label == organ) & seen, (resampled == organ) & seen
        dice = 2 * (a & b).sum() / (a.sum() + b.sum())
        assert dice > (0.9 if organ in (1, 4, 5) else 0.75), ORGANS[organ]
    there_hu = map_coordinates(other_hu.astype(np.float32), there, order=1)
    assert np.corrcoef(there_hu[seen], hu[seen])[0, 1] > 0.93


def ball(radius: float) -> Anatomy:
    still = CosineSum(np.zeros((1, 3)), np.zeros(1), np.zeros(1))
    lump = Structure("ball", Shape((Ellipsoid(np.zeros(3), np.full(3, radius)),)), 1000.0, label=1)
    corner = np.full(3, 40.0)
    return Anatomy((lump,), {}, (still,) * 3, "native", 1.0, -corner, corner)


@pytest.mark.parametrize("steps", [(4.0, 4.0, 4.0), (2.0, 2.0, 7.0)])
def test_partial_volume_keeps_the_volume_of_a_ball(steps):
    shape = tuple(int(80 / s) + 1 for s in steps)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * steps + [0.7, -0.4, 1.1]
    hu, label = render(ball(22.0), shape=shape, affine=affine, rng=np.random.default_rng(0), noise=0)
    share = (hu + 1000.0) / 2000
    assert share.sum() * np.prod(steps) == pytest.approx(4 / 3 * np.pi * 22**3, rel=0.04)
    edge = (share > 0.05) & (share < 0.95)
    assert 0.15 < edge.sum() / (share > 0.5).sum() < 2.5
    np.testing.assert_array_equal(label == 1, share > 0.5)


def test_thick_slices_blur_along_their_axis_only():
    affine = np.diag([2.0, 2, 8, 1])
    affine[:3, 3] = [-40, -40, -40]
    hu, _ = render(ball(24.0), shape=(41, 41, 11), affine=affine, rng=np.random.default_rng(0), noise=0)
    share = (hu + 1000.0) / 2000
    in_plane, across = share[:, 20, 5], share[20, 20, :]
    soft = [((line > 0.02) & (line < 0.98)).sum() * mm for line, mm in ((in_plane, 2), (across, 8))]
    assert soft[1] > soft[0]


def test_noise_has_the_asked_deviation_and_correlates_with_neighbours():
    noise = correlated_noise((64, 64, 32), np.array([0.8, 0.8, 3.0]), np.random.default_rng(0), sd=15.0, length=1.4)
    assert noise.std() == pytest.approx(15, rel=0.01)
    assert abs(noise.mean()) < 1

    def correlation(axis: int) -> float:
        a, b = np.moveaxis(noise, axis, 0)[:-1], np.moveaxis(noise, axis, 0)[1:]
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert correlation(0) > 0.7
    assert correlation(2) < correlation(0)


def test_noise_touches_the_image_only():
    anatomy = sample_anatomy(np.random.default_rng(8))
    scan = sample_scan(np.random.default_rng(0), anatomy, spacing=7.0)
    quiet = render(anatomy, shape=scan.shape, affine=scan.affine, rng=np.random.default_rng(0), noise=0)
    noisy = render(anatomy, shape=scan.shape, affine=scan.affine, rng=np.random.default_rng(0), noise=18.0)
    np.testing.assert_array_equal(quiet[1], noisy[1])
    body = quiet[0] > -500
    assert np.std((noisy[0].astype(float) - quiet[0])[body]) == pytest.approx(18, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_each_data_set_annotates_only_its_own_organs(kind):
    case = phantom_case(2, 1, kind=kind, spacing=6.0)
    assert set(np.unique(case.label)) <= {0, *KINDS[kind].labels}
    assert set(case.labels) == {0, *KINDS[kind].labels}
    assert 1 in case.label
    share = (case.label > 0).mean()
    assert share < 0.25


def test_no_pretraining_set_labels_the_spleen_or_separates_the_kidneys():
    for kind in PRETRAINING:
        assert 1 not in KINDS[kind].local_ids
        assert len({KINDS[kind].local_ids.get(k) for k in (2, 3)}) == 1
    numbers = [kind.number for kind in KINDS.values()]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("where", "lesion", "hosts"), [("liver", 8, (4,)), ("kidney", 9, (2, 3))])
def test_tumours_replace_part_of_their_host_and_nothing_else(where, lesion, hosts):
    # one patient need not show a lesion at this spacing
    found = 0
    for seed in range(4):
        sick = sample_anatomy(np.random.default_rng(seed), tumours=where)
        number = len(sick.structures) - sum("tumour" in s.name for s in sick.structures)
        well = replace(sick, structures=sick.structures[:number])
        scan = sample_scan(np.random.default_rng(0), sick, spacing=6.0)
        (_, a), (_, b) = (
            render(p, shape=scan.shape, affine=scan.affine, rng=np.random.default_rng(0), noise=0) for p in (sick, well)
        )
        assert set(np.unique(b[a != b])) <= set(hosts)
        assert set(np.unique(a[a != b])) <= {lesion}
        assert lesion in LESIONS
        found += (a == lesion).sum()
    assert found > 20


def test_scans_differ_in_spacing_orientation_and_field_of_view():
    scans = [phantom_case(0, index, kind="kidney", spacing=8.0, orientation=None) for index in range(6)]
    assert len({s.image.shape for s in scans}) > 3
    assert len({tuple(s.spacing.round(2)) for s in scans}) == 6
    # slices first, and thicker than the pixels
    assert all(s.spacing[0] >= s.spacing[1] == pytest.approx(s.spacing[2]) for s in scans)
    assert all(np.abs(s.affine[2, 0]) > np.abs(s.affine[:2, 0]).max() for s in scans)


def test_ras_is_a_diagonal_affine():
    affine = phantom_case(0, 0, spacing=8.0).affine
    np.testing.assert_allclose(affine[:3, :3], np.diag(np.diag(affine)[:3]))
    assert (np.diag(affine) > 0).all()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (dict(seed=-1), "seed and index must be >= 0"),
        (dict(index=-1), "seed and index must be >= 0"),
        (dict(kind="brain"), "kind must be one of liver"),
        (dict(spacing=0), "spacing must be > 0 mm, got 0"),
        (dict(orientation="RAQ"), "axis codes"),
        (dict(orientation="RLS"), "axis codes"),
        (dict(orientation="RA"), "axis codes"),
    ],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(ValueError, match=match):
        phantom_case(**{"seed": 0, "index": 0, **arguments})


def test_bad_grids_are_named():
    anatomy, rng = ball(5.0), np.random.default_rng(0)
    with pytest.raises(ValueError, match="shape must be three positive"):
        render(anatomy, shape=(3, 0, 2), affine=np.eye(4), rng=rng)
    with pytest.raises(ValueError, match="invertible"):
        render(anatomy, shape=(3, 3, 2), affine=np.zeros((4, 4)), rng=rng)
    with pytest.raises(ValueError, match="noise"):
        render(anatomy, shape=(3, 3, 2), affine=np.eye(4), rng=rng, noise=-1)
    with pytest.raises(ValueError, match="tumours"):
        sample_anatomy(rng, tumours="lung")
