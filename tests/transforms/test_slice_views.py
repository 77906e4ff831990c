"""Views of slices: each operation against its definition and identity, all in one against one by one, by address."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import metadata

import kornia.geometry.transform as kornia
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from monai_cl.transforms import SliceView, SliceViews, apply_slice_views, draw_slice_view, random_slice_views
from monai_cl.transforms.slice_geometry import view_matrix

H, W = 40, 52
NEAR = 1e-10 if metadata.version("kornia") >= "0.9" else 1e-5
"""Before 0.9, the last that Python 3.10 has, kornia computes its grids in float32."""


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, H, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def viewed(images: torch.Tensor, **view) -> torch.Tensor:
    return apply_slice_views(images, [SliceView(**view)] * len(images))


def ramp() -> torch.Tensor:
    """1 + 2x + 5y: linear interpolation reproduces it to the bit but for rounding."""
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    return (1 + 2 * x + 5 * y)[None, None].double()


def ramp_by_undoing(view: SliceView) -> np.ndarray:
    """What the ramp becomes, pixel by pixel: undo the operations, the last first, and read the ramp there."""
    out = np.full((H, W), np.nan)
    for row in range(H):
        for column in range(W):
            x, y = float(column), float(row)
            if view.angle is not None:
                a = math.radians(view.angle)
                dx, dy = x - (W - 1) / 2, y - (H - 1) / 2
                x = (W - 1) / 2 + dx * math.cos(a) - dy * math.sin(a)
                y = (H - 1) / 2 + dx * math.sin(a) + dy * math.cos(a)
            if view.shift is not None:
                x, y = x - view.shift[0] * W, y - view.shift[1] * H
            if view.crop is not None:
                left, top, width, height = view.crop
                # edges: pixel k covers [k − ½, k + ½]
                x = (left + (x + 0.5) / W * width) * W - 0.5
                y = (top + (y + 0.5) / H * height) * H - 0.5
            if view.vertical_flip:
                y = H - 1 - y
            if view.horizontal_flip:
                x = W - 1 - x
            if 0 <= x <= W - 1 and 0 <= y <= H - 1:
                out[row, column] = 1 + 2 * x + 5 * y
    return out


def test_nothing_done_keeps_the_bits_and_copies(images):
    out = viewed(images)
    assert torch.equal(out, images)
    assert out.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("view", [{"crop": (0.0, 0.0, 1.0, 1.0)}, {"shift": (0.0, 0.0)}, {"angle": 0.0}])
def test_an_operation_of_no_size_is_identity(images, view):
    torch.testing.assert_close(viewed(images, **view), images, rtol=0, atol=NEAR)


def test_flips_mirror_and_twice_is_identity(images):
    torch.testing.assert_close(viewed(images, horizontal_flip=True), images.flip(-1), rtol=0, atol=NEAR)
    torch.testing.assert_close(viewed(images, vertical_flip=True), images.flip(-2), rtol=0, atol=NEAR)
    both = viewed(viewed(images, horizontal_flip=True, vertical_flip=True), horizontal_flip=True, vertical_flip=True)
    torch.testing.assert_close(both, images, rtol=0, atol=NEAR)


def test_a_crop_is_the_box_enlarged_to_the_slice(images):
    out = viewed(images, crop=(0.25, 0.5, 0.5, 0.5))
    expected = F.interpolate(images[..., 20:40, 13:39], size=(H, W), mode="bilinear", align_corners=False)
    torch.testing.assert_close(out[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=0, atol=NEAR)


def test_a_shift_of_whole_pixels_moves_them_and_lets_air_in(images):
    out = viewed(images, shift=(5 / W, -3 / H))
    torch.testing.assert_close(out[..., :-3, 5:], images[..., 3:, :-5], rtol=0, atol=NEAR)
    assert out[..., :4].abs().max() == 0
    assert out[..., -2:, :].abs().max() == 0


def test_a_quarter_turn_is_counter_clockwise(images):
    square = images[..., :H]
    torch.testing.assert_close(viewed(square, angle=90.0), torch.rot90(square, 1, (-2, -1)), rtol=0, atol=NEAR)


def test_rotation_and_translation_are_kornias(images):
    turned = kornia.rotate(images, torch.full((3,), 25.0, dtype=torch.float64), padding_mode="zeros")
    torch.testing.assert_close(viewed(images, angle=25.0), turned, rtol=0, atol=NEAR)
    moved = kornia.translate(images, torch.tensor([[0.1 * W, -0.2 * H]], dtype=torch.float64).expand(3, -1))
    torch.testing.assert_close(viewed(images, shift=(0.1, -0.2)), moved, rtol=0, atol=NEAR)


@pytest.mark.parametrize(
    "view",
    [
        SliceView(True, False, (0.1, 0.05, 0.8, 0.875), (0.1, -0.15), 20.0),
        SliceView(False, True, (0.2, 0.0, 0.7, 0.95), None, -30.0),
        SliceView(True, True, None, (-0.2, 0.2), 7.0),
    ],
)
def test_all_in_one_is_one_after_the_other(view):
    expected = ramp_by_undoing(view)
    got = apply_slice_views(ramp(), [view])[0, 0].numpy()
    inside = ~np.isnan(expected)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(got[inside], expected[inside], atol=100 * NEAR)


def test_beyond_the_slice_is_air_and_nowhere_else():
    ones = torch.ones(1, 1, H, W)
    view = SliceView(crop=(0.1, 0.1, 0.8, 0.8), shift=(0.05, 0.05))
    # what the crop left out comes back: no air
    torch.testing.assert_close(apply_slice_views(ones, [view]), ones)
    far = apply_slice_views(ones, [SliceView(shift=(0.5, 0.0))])
    assert far[..., : W // 2 - 1].abs().max() == 0
    # another air: the same, counted from there
    torch.testing.assert_close(apply_slice_views(ones - 3, [SliceView(shift=(0.5, 0.0))], air=-3), far - 3)


def test_a_slice_is_moved_by_its_own_view_and_not_changed(images):
    before = images.clone()
    views = [SliceView(), SliceView(angle=10.0), SliceView(horizontal_flip=True)]
    out = apply_slice_views(images, views)
    assert torch.equal(images, before)
    assert torch.equal(out[0], images[0])
    torch.testing.assert_close(out[1], viewed(images[1:2], angle=10.0)[0], rtol=0, atol=0)
    torch.testing.assert_close(out[2], images[2].flip(-1), rtol=0, atol=NEAR)


def test_neighbouring_slices_move_together(images):
    several = images[:1].repeat(1, 5, 1, 1) * torch.arange(1, 6)[None, :, None, None]
    out = random_slice_views(several, seed=0, positions=[3], view=0, probability=1)
    torch.testing.assert_close(out, out[:, :1] * torch.arange(1, 6)[None, :, None, None])


def test_float32_is_precise_at_512_pixels():
    image = torch.rand(1, 1, 512, 512, generator=torch.Generator().manual_seed(0))
    view = [SliceView(True, True, (0.1, 0.05, 0.8, 0.875), (0.1, -0.15), 20.0)]
    torch.testing.assert_close(
        apply_slice_views(image, view), apply_slice_views(image.double(), view).float(), rtol=0, atol=5e-4
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_half_precision_is_interpolated_in_float32(images, dtype, tolerance):
    options = {"seed": 0, "positions": [1, 2, 3], "view": 1, "probability": 1}
    out = random_slice_views(images.to(dtype), **options)
    assert out.dtype == dtype
    torch.testing.assert_close(
        out.float(), random_slice_views(images.to(dtype).float(), **options), atol=tolerance, rtol=0
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(random_slice_views(images.to(dtype), **options), out)


def test_draws_keep_their_probabilities_and_ranges():
    rng = np.random.default_rng(0)
    views = [draw_slice_view(rng, crop_area=(0.5, 0.9)) for _ in range(4000)]
    for chosen in (
        [v.horizontal_flip for v in views],
        [v.vertical_flip for v in views],
        [v.crop is not None for v in views],
        [v.shift is not None for v in views],
        [v.angle is not None for v in views],
    ):
        assert np.mean(chosen) == pytest.approx(0.5, abs=0.03)
    left, top, width, height = np.array([v.crop for v in views if v.crop is not None]).T
    uncut = (width < 1) & (height < 1)
    assert uncut.mean() > 0.8
    area, ratio = (width * height)[uncut], (width / height)[uncut]
    assert 0.5 <= area.min() < 0.52
    assert 0.88 < area.max() <= 0.9 + 1e-12
    assert 0.75 - 1e-12 <= ratio.min() < 0.76
    assert 1.31 < ratio.max() <= 4 / 3 + 1e-12
    assert min(left.min(), top.min()) >= 0
    assert max((left + width).max(), (top + height).max()) <= 1 + 1e-12
    shifts = np.array([v.shift for v in views if v.shift is not None])
    assert np.abs(shifts).max(0) == pytest.approx([0.2, 0.2], abs=2e-3)
    assert np.abs(shifts.mean(0)).max() < 0.01
    angles = np.array([v.angle for v in views if v.angle is not None])
    assert np.abs(angles).max() == pytest.approx(30, abs=0.2)


def test_the_papers_crop_keeps_seven_tenths():
    views = [draw_slice_view(np.random.default_rng(k), probability=1) for k in range(50)]
    assert [v.crop[2] * v.crop[3] for v in views] == pytest.approx([0.7] * 50)


def test_leaving_operations_out_does_not_change_the_others():
    every = draw_slice_view(np.random.default_rng(3), probability=1)
    some = draw_slice_view(np.random.default_rng(3), probability=0.5)
    for name in ("crop", "shift", "angle"):
        assert getattr(some, name) in (None, getattr(every, name))
    assert draw_slice_view(np.random.default_rng(3), probability=0).is_identity


def test_mirrorings_have_a_probability_of_their_own_and_all_else_stays():
    for k in range(50):
        as_all, never, always = (
            draw_slice_view(np.random.default_rng(k), probability=0.5, flip=flip) for flip in (None, 0.0, 1.0)
        )
        assert as_all == draw_slice_view(np.random.default_rng(k), probability=0.5, flip=0.5)
        assert never == replace(as_all, horizontal_flip=False, vertical_flip=False)
        assert always == replace(as_all, horizontal_flip=True, vertical_flip=True)


def test_a_view_is_the_same_picture_at_another_resolution():
    view = SliceView(True, False, (0.1, 0.05, 0.8, 0.875), (0.1, -0.15), 20.0)
    small = view_matrix(view, height=64, width=64)
    large = view_matrix(view, height=128, width=128)
    # pixel (x, y) of the small slice is centred at (2x + ½, 2y + ½) of the large one
    double = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
    np.testing.assert_allclose(large @ double, double @ small, atol=1e-10)


class TestSliceViews:
    def test_training_gives_the_views_of_the_function(self, images):
        module = SliceViews(seed=7, views=3, angle=10.0)
        out = module(images, positions=torch.tensor([4, 5, 6]))
        assert out.shape == (3, 3, 1, H, W)
        for v in range(3):
            expected = random_slice_views(images, seed=7, positions=[4, 5, 6], view=v, angle=10.0)
            assert torch.equal(out[:, v], expected)

    def test_inference_gives_the_slices_themselves(self, images):
        out = SliceViews(seed=7).eval()(images)
        assert torch.equal(out, images[:, None])

    def test_wrong_options_are_named(self, images):
        with pytest.raises(ValueError, match="views must be >= 1, got 0"):
            SliceViews(seed=0, views=0)
        with pytest.raises(ValueError, match=r"angle must be in \[0, 180\] degrees, got -1"):
            SliceViews(seed=0, angle=-1)
        with pytest.raises(ValueError, match="positions must be given, one for each of 3 slices, got none"):
            SliceViews(seed=0)(images)
        with pytest.raises(ValueError, match="one for each of 3 slices, got 2"):
            SliceViews(seed=0)(images, [1, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.5}, r"probability must be in \[0, 1\], got 1\.5"),
        ({"flip": -0.1}, r"flip must be in \[0, 1\], got -0\.1"),
        ({"crop_area": 0}, r"crop_area must be in \(0, 1\], a number or a range, got 0"),
        ({"crop_area": (0.9, 0.5)}, r"crop_area must be in .* got \(0\.9, 0\.5\)"),
        ({"crop_ratio": (2, 1)}, r"crop_ratio must be a range of numbers > 0, got \(2, 1\)"),
        ({"shift": 1}, r"shift must be in \[0, 1\), got 1"),
        ({"angle": 200}, r"angle must be in \[0, 180\] degrees, got 200"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        draw_slice_view(np.random.default_rng(0), **options)


def test_wrong_batches_are_named(images):
    with pytest.raises(
        ValueError, match=r"must be floating point \(N, C, H, W\), got torch\.float64 \(3, 1, 40, 52, 1\)"
    ):
        apply_slice_views(images[..., None], [SliceView()] * 3)
    with pytest.raises(ValueError, match=r"got torch\.int64"):
        apply_slice_views(images.long(), [SliceView()] * 3)
    with pytest.raises(ValueError, match="expected a view for each of 3 slices, got 1"):
        apply_slice_views(images, [SliceView()])


@pytest.mark.gpu
def test_the_gpu_gives_the_same_views(images):
    options = {"seed": 0, "positions": [1, 2, 3], "view": 0, "probability": 1}
    on_gpu = random_slice_views(images.float().cuda(), **options)
    torch.testing.assert_close(on_gpu.cpu(), random_slice_views(images.float(), **options), atol=1e-4, rtol=0)
