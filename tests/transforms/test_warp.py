"""The warp against a slow reference, its promises in millimetres, and its identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from monai_cl.transforms import WarpParameters, apply_warp, random_warp
from monai_cl.transforms.bspline import bspline_basis, evaluate_bspline, knot_positions
from monai_cl.transforms.warp import source_box

SPACING = (1.5, 1.5, 2.0)
ALWAYS = {"elastic_probability": 1.0, "affine_probability": 1.0}


def draw(seed: int = 0, *, patch_size=(20, 24, 18), spacing=SPACING, **options) -> WarpParameters:
    return random_warp(
        np.random.default_rng(seed),
        patch_size=patch_size,
        spacing=spacing,
        **{**ALWAYS, "control_spacing": 12, **options},
    )


def smooth_image(shape, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    waves = np.stack(np.meshgrid(*[np.arange(s) for s in shape], indexing="ij"), -1) @ rng.uniform(-0.5, 0.5, (3, 4))
    return torch.from_numpy(0.5 + np.sin(waves).mean(-1) / 2)[None]


def cubic(t: float) -> float:
    """The cubic B-spline β³, from its definition."""
    t = abs(t)
    return 2 / 3 - t**2 + t**3 / 2 if t < 1 else (2 - t) ** 3 / 6 if t < 2 else 0.0


def reference_coordinates(warp: WarpParameters) -> np.ndarray:
    """(H, W, D, 3) voxels: M·p + Σ_k c_k β(x/h − k), voxel by voxel in float64."""
    size, spacing = np.array(warp.patch_size), np.array(warp.spacing)
    centre = (size - 1) / 2
    result = np.zeros((*size, 3))
    for voxel in np.ndindex(*size):
        p = (np.array(voxel) - centre) * spacing
        q = p if warp.matrix is None else warp.matrix @ p
        if warp.displacement is not None:
            knots = np.array(warp.displacement.shape[:3])
            h = (size - 1) / (knots - 3)
            x, y, z = (np.array([cubic(voxel[a] / h[a] - (k - 1)) for k in range(knots[a])]) for a in range(3))
            q = q + np.einsum("i,j,k,ijkc->c", x, y, z, warp.displacement)
        result[voxel] = q / spacing + centre
    return result


@pytest.mark.parametrize("parts", [{}, {"elastic_probability": 0}, {"affine_probability": 0}, {"shear": 0.1}])
def test_the_warp_is_the_slow_reference(parts):
    warp = draw(1, **parts)
    image = smooth_image(warp.patch_size)
    label = (image > 0.5).long() * 7
    at = np.moveaxis(reference_coordinates(warp), -1, 0)
    warped, warped_label = apply_warp(image, label, warp, fill=0.25)
    expected = map_coordinates(image[0].numpy(), at, order=1, mode="grid-constant", cval=0.25)
    np.testing.assert_allclose(warped[0].numpy(), expected, atol=1e-12)
    single = apply_warp(image.float(), None, warp, fill=0.25)[0]
    np.testing.assert_allclose(single[0].numpy(), expected, atol=2e-5)
    nearest = map_coordinates(label[0].numpy(), np.rint(at), order=0, mode="grid-constant", cval=0)
    ties = (np.abs(at - np.floor(at) - 0.5) < 1e-9).any(0)
    np.testing.assert_array_equal(warped_label[0].numpy()[~ties], nearest[~ties])


def test_cubic_splines_reproduce_linear_functions():
    for size, intervals in ((2, 1), (7, 2), (96, 4), (97, 13)):
        basis = bspline_basis(size, intervals)
        np.testing.assert_allclose(basis.sum(1), 1, atol=1e-14)
        np.testing.assert_allclose(basis @ knot_positions(size, intervals), np.arange(size), atol=1e-11)
        assert ((basis != 0).sum(1) <= 4).all()


def test_the_spline_is_evaluated_as_a_sum_over_control_points():
    rng = np.random.default_rng(0)
    control, bases = rng.normal(size=(4, 5, 6, 3)), [rng.normal(size=(s, k)) for s, k in ((3, 4), (7, 5), (2, 6))]
    field = evaluate_bspline(torch.from_numpy(control), [torch.from_numpy(basis) for basis in bases])
    np.testing.assert_allclose(field.numpy(), np.einsum("hi,wj,dk,ijkc->hwdc", *bases, control), atol=1e-12)


def test_a_warp_without_parts_returns_its_input_bit_for_bit():
    image, label = torch.rand(2, 9, 8, 7), torch.randint(0, 5, (1, 9, 8, 7))
    warp = draw(patch_size=(9, 8, 7), elastic_probability=0, affine_probability=0)
    assert warp.is_identity
    warped, warped_label = apply_warp(image, label, warp)
    assert torch.equal(warped, image)
    assert torch.equal(warped_label, label)


@pytest.mark.parametrize(
    "options", [{"rotation": 0, "scale": 0, "elastic_probability": 0}, {"displacement_rms": 0, "affine_probability": 0}]
)
def test_ranges_of_zero_move_nothing(options):
    warp = draw(**options)
    image = smooth_image(warp.patch_size).float()
    torch.testing.assert_close(apply_warp(image, None, warp)[0], image, atol=2e-5, rtol=0)


def test_a_replayed_warp_gives_the_same_bits():
    image, label = torch.rand(1, 20, 24, 18), torch.randint(0, 5, (1, 20, 24, 18))
    for one, other in zip(apply_warp(image, label, draw(3)), apply_warp(image, label, draw(3))):
        assert torch.equal(one, other)


def test_anisotropic_voxels_rotate_rigidly_in_millimetres():
    warp = draw(4, rotation=40, scale=0, elastic_probability=0)
    np.testing.assert_allclose(warp.matrix @ warp.matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(warp.matrix) == pytest.approx(1)
    at = reference_coordinates(warp) * SPACING
    voxels = np.stack(np.meshgrid(*[np.arange(s) for s in warp.patch_size], indexing="ij"), -1) * SPACING
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, warp.patch_size, (50, 2, 3))
    for a, b in pairs:
        before, after = voxels[tuple(a)] - voxels[tuple(b)], at[tuple(a)] - at[tuple(b)]
        assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before), abs=1e-9)


def test_a_quarter_turn_swaps_axes_of_anisotropic_voxels():
    # 2 mm voxels along x and 1 mm along y: a square of 18 × 18 mm turned about z is the same square
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    warp = WarpParameters((10, 19, 4), (2.0, 1.0, 1.0), matrix=turn)
    image = torch.rand(1, 10, 19, 4, dtype=torch.float64)
    warped = apply_warp(image, None, warp)[0]
    # p = (x, y) takes what lies at (−y, x)
    torch.testing.assert_close(warped[0, :, ::2], turned(image[0]), atol=1e-9, rtol=0)


def turned(image: torch.Tensor) -> torch.Tensor:
    """Every second y of ``p ↦ image(−y, x)``, by looking each millimetre up."""
    result = torch.zeros(10, 10, 4, dtype=image.dtype)
    for i in range(10):
        for j in range(10):
            x, y = 2 * i - 9, 2 * j - 9
            result[i, j] = image[(-y + 9) // 2, x + 9]
    return result


def test_affine_draws_stay_in_their_ranges():
    for seed in range(50):
        matrix = draw(seed, rotation=(10, 0, 0), scale=0.2).matrix
        factor = np.cbrt(np.linalg.det(matrix))
        assert 0.8 <= factor <= 1.2
        rotation = matrix / factor
        np.testing.assert_allclose(rotation[0], (1, 0, 0), atol=1e-12)
        assert abs(np.rad2deg(np.arctan2(rotation[2, 1], rotation[1, 1]))) <= 10


@pytest.mark.parametrize(("patch_size", "spacing"), [((48, 48, 48), SPACING), ((32, 40, 24), (3.0, 3.0, 5.0))])
@pytest.mark.parametrize("rms", [2.0, 4.0])
def test_displacement_has_the_stated_rms_in_millimetres(patch_size, spacing, rms):
    squares = []
    bases = None
    for seed in range(200):
        warp = random_warp(
            np.random.default_rng(seed),
            patch_size=patch_size,
            spacing=spacing,
            elastic_probability=1,
            affine_probability=0,
            displacement_rms=rms,
        )
        bases = bases or [torch.from_numpy(bspline_basis(s, n)) for s, n in zip(patch_size, warp.intervals)]
        field = evaluate_bspline(torch.from_numpy(warp.displacement), [basis[::3] for basis in bases])
        squares.append((field**2).sum(-1).mean().item())
    assert np.sqrt(np.mean(squares)) == pytest.approx(rms, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_folds_however_large_the_displacement(seed):
    warp = draw(seed, displacement_rms=100, affine_probability=0)
    at = reference_coordinates(warp)
    jacobian = np.stack(np.gradient(at, axis=(0, 1, 2)), -1)
    assert np.linalg.det(jacobian).min() > 0


def test_parts_come_with_their_probabilities():
    rng = np.random.default_rng(0)
    warps = [random_warp(rng, patch_size=(8, 8, 8), spacing=SPACING) for _ in range(1000)]
    elastic = np.array([warp.displacement is not None for warp in warps])
    affine = np.array([warp.matrix is not None for warp in warps])
    assert elastic.mean() == pytest.approx(0.5, abs=0.06)
    assert affine.mean() == pytest.approx(0.5, abs=0.06)
    assert (elastic & affine).mean() == pytest.approx(0.25, abs=0.06)


def test_labels_keep_their_values_and_type():
    values = torch.tensor([0, 3, 17, 200, 255], dtype=torch.uint8)
    label = values[torch.randint(0, 5, (1, 20, 24, 18))]
    warped = apply_warp(torch.rand(1, 20, 24, 18), label, draw(2))[1]
    assert warped.dtype == torch.uint8
    assert set(warped.unique().tolist()) <= set(values.tolist())
    large = torch.full((1, 20, 24, 18), 30001, dtype=torch.int16)
    assert set(apply_warp(torch.rand(1, 20, 24, 18), large, draw(2))[1].unique().tolist()) <= {0, 30001}


@pytest.mark.parametrize("seed", range(8))
def test_the_source_box_holds_everything_the_warp_reads(seed):
    warp = draw(seed, rotation=30, displacement_rms=3)
    start, size = source_box(warp)
    image = torch.ones(1, *size)
    warped, label = apply_warp(image, image.to(torch.uint8), warp, origin=start, fill=-5)
    assert (warped > 0.999).all()
    assert (label == 1).all()
    at = reference_coordinates(warp).reshape(-1, 3)
    assert (at.min(0) >= start).all()
    assert (at.max(0) <= np.add(start, size) - 1).all()
    assert (at.min(0) - start <= 2).all()  # and hardly more


def test_a_larger_source_shows_what_a_small_one_lacks():
    warp = draw(5)
    start, size = source_box(warp)
    large = smooth_image(size)
    inner = tuple(slice(-s, p - s) for s, p in zip(start, warp.patch_size))
    small = large[(slice(None), *inner)]
    from_large = apply_warp(large, None, warp, origin=start)[0]
    from_small = apply_warp(small, None, warp)[0]
    real = apply_warp(torch.ones_like(small), None, warp)[0] > 1 - 1e-9
    assert 0.5 < real.double().mean() < 1
    torch.testing.assert_close(from_large[real], from_small[real], atol=1e-9, rtol=0)


def test_a_batch_is_its_samples():
    size = (20, 24, 18)
    warps = [draw(0), draw(1, affine_probability=0), draw(elastic_probability=0, affine_probability=0), draw(2)]
    images, labels = torch.rand(4, 2, *size), torch.randint(0, 9, (4, 1, *size))
    batch, batch_labels = apply_warp(images, labels, warps)
    for n, warp in enumerate(warps):
        one, label = apply_warp(images[n], labels[n], warp)
        assert torch.equal(batch[n], one)
        assert torch.equal(batch_labels[n], label)


def test_shapes_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match="image must be"):
        apply_warp(torch.rand(20, 24, 18), None, draw())
    with pytest.raises(ValueError, match="with 2 warp"):
        apply_warp(torch.rand(3, 1, 20, 24, 18), None, [draw(), draw()])
    with pytest.raises(ValueError, match="must have one size"):
        apply_warp(torch.rand(1, 20, 24, 18), torch.rand(1, 20, 24, 17), draw())
    with pytest.raises(ValueError, match="does not cover the patch"):
        apply_warp(torch.rand(1, 8, 8, 8), None, draw(elastic_probability=0, affine_probability=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": (1, 8, 8)}, "patch_size must be three integers >= 2"),
        ({"spacing": (1, 1)}, "spacing must be three numbers > 0 mm"),
        ({"elastic_probability": -0.1}, r"elastic_probability must be in \[0, 1\], got -0.1"),
        ({"affine_probability": 2}, r"affine_probability must be in \[0, 1\], got 2"),
        ({"rotation": 200}, r"rotation must be in \[0, 180\] degrees, got 200"),
        ({"scale": 1.0}, r"scale must be in \[0, 1\), got 1.0"),
        ({"shear": -1}, "shear must be >= 0, got -1"),
        ({"displacement_rms": -1}, "displacement_rms must be >= 0 mm, got -1"),
        ({"control_spacing": 0}, "control_spacing must be > 0 mm, got 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        draw(**options)


@pytest.mark.gpu
def test_the_gpu_warps_as_the_cpu():
    images, labels = torch.rand(3, 1, 20, 24, 18), torch.randint(0, 9, (3, 1, 20, 24, 18))
    warps = [draw(n) for n in range(3)]
    on_cpu, on_gpu = apply_warp(images, labels, warps), apply_warp(images.cuda(), labels.cuda(), warps)
    torch.testing.assert_close(on_gpu[0].cpu(), on_cpu[0], atol=1e-4, rtol=0)
    assert (on_gpu[1].cpu() == on_cpu[1]).double().mean() > 0.999
