"""Variants of a volume: a family changes what it is named after and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_cl.transforms import Variant, apply_variant, draw_variant


def disc(y: float, x: float, size: tuple[int, int] = (40, 30)) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    away = (rows - y) ** 2 + (columns - x) ** 2
    return torch.exp(-away / 8.0)[None, None].expand(1, 3, -1, -1).clone()


def centre(volume: torch.Tensor) -> list[float]:
    plane = volume[0, 1]
    rows, columns = (torch.arange(n, dtype=plane.dtype) for n in plane.shape)
    total = plane.sum()
    return [float((plane.sum(1) * rows).sum() / total), float((plane.sum(0) * columns).sum() / total)]


def test_a_family_draws_what_it_is_named_after():
    drawn = {family: draw_variant(np.random.default_rng(0), family) for family in ("gamma", "rotation", "scale", "all")}
    assert drawn["gamma"] == Variant(gamma=drawn["all"].gamma)
    assert drawn["rotation"] == Variant(angle=drawn["all"].angle)
    assert drawn["scale"] == Variant(scale=drawn["all"].scale)
    assert 1.8 <= drawn["all"].gamma <= 2.6
    with pytest.raises(ValueError, match="family must be one of gamma, rotation, scale, all, got 'flip'"):
        draw_variant(np.random.default_rng(0), "flip")


def test_nothing_changes_without_a_change():
    volume = torch.rand(1, 3, 8, 6)
    torch.testing.assert_close(apply_variant(volume, Variant()), volume)
    torch.testing.assert_close(apply_variant(volume, Variant(gamma=2.0)), volume**2)


def test_slices_turn_about_their_middle_by_the_angle():
    middle = (19.5, 14.5)
    turned = centre(apply_variant(disc(middle[0], middle[1] + 8), Variant(angle=10.0)))
    away = np.array(turned) - middle
    assert np.hypot(*away) == pytest.approx(8, abs=0.05)  # a circle, also on slices that are not square
    assert abs(np.rad2deg(np.arctan2(away[0], away[1]))) == pytest.approx(10, abs=0.3)


def test_scaling_moves_what_is_off_the_middle_outwards():
    found = centre(apply_variant(disc(19.5 + 6, 14.5 + 4), Variant(scale=1.1)))
    assert found == pytest.approx([19.5 + 6.6, 14.5 + 4.4], abs=0.05)
