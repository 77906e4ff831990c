"""Position embeddings for another patch size: the same field, sampled on another grid of tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from einops import rearrange
from monai.networks.nets import UNETR

from monai_cl.errors import UserError
from monai_cl.networks import export_encoder, load_encoder
from monai_cl.networks.volume.position_embeddings import NAME, interpolate_positions

SIZES = {"in_channels": 1, "out_channels": 2, "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}


def ramp(grid) -> torch.Tensor:
    """(1, h·w·d, 3): the centre of each token, as a fraction of the field of view."""
    centres = np.meshgrid(*((np.arange(n) + 0.5) / n for n in grid), indexing="ij")
    return torch.from_numpy(rearrange(np.stack(centres), "c h w d -> 1 (h w d) c"))


def inner(embeddings, grid) -> torch.Tensor:
    """Without the border, beyond which nothing is known."""
    return rearrange(embeddings, "1 (h w d) c -> h w d c", h=grid[0], w=grid[1], d=grid[2])[1:-1, 1:-1, 1:-1]


@pytest.mark.parametrize(("grid", "to"), [((4, 5, 6), (8, 10, 12)), ((6, 6, 6), (9, 7, 11)), ((6, 4, 8), (4, 4, 4))])
def test_a_linear_field_of_view_is_kept_and_so_are_axes(grid, to):
    found = interpolate_positions(ramp(grid), grid=grid, to=to)
    torch.testing.assert_close(inner(found, to), inner(ramp(to), to))


def test_the_same_grid_gives_the_same_values_and_constants_stay():
    given = torch.randn(1, 24, 5)
    assert interpolate_positions(given, grid=(2, 3, 4), to=(2, 3, 4)) is given
    constant = torch.full((1, 24, 5), 0.3)
    torch.testing.assert_close(
        interpolate_positions(constant, grid=(2, 3, 4), to=(3, 2, 5)), torch.full((1, 30, 5), 0.3)
    )
    with pytest.raises(ValueError, match=r"expected 24 embeddings for a grid \[2, 3, 4\], got 20"):
        interpolate_positions(given[:, :20], grid=(2, 3, 4), to=(1, 1, 1))


@pytest.mark.parametrize("size", [(64, 32, 32), (32, 32, 48), (48, 32, 32)])
def test_an_encoder_goes_into_a_network_of_another_patch_size(tmp_path, size, caplog):
    caplog.set_level("INFO")
    source = UNETR(img_size=(32, 32, 48), **SIZES)
    file = export_encoder(source, tmp_path / "encoder.pt")
    target = UNETR(img_size=size, **SIZES)
    report = load_encoder(target, file)
    assert report.complete
    own, to = source.state_dict(), [edge // 16 for edge in size]
    expected = interpolate_positions(own[NAME], grid=(2, 2, 3), to=to)
    assert torch.equal(target.state_dict()[NAME], expected)
    # as many tokens in another order are another grid
    assert torch.equal(expected, own[NAME]) == (size == (32, 32, 48))
    assert ("interpolated from [2, 2, 3]" in caplog.text) == (size != (32, 32, 48))
    for name in report.matched:
        if name != NAME:
            assert torch.equal(target.state_dict()[name], own[name])


def test_without_a_record_a_cube_is_assumed(tmp_path):
    source = UNETR(img_size=(32, 32, 32), **SIZES)
    torch.save(source.state_dict(), tmp_path / "cube.pt")
    target = UNETR(img_size=(48, 32, 32), **SIZES)
    load_encoder(target, tmp_path / "cube.pt")
    own = source.state_dict()[NAME]
    assert torch.equal(target.state_dict()[NAME], interpolate_positions(own, grid=(2, 2, 2), to=(3, 2, 2)))
    flat = UNETR(img_size=(32, 32, 48), **SIZES)
    torch.save(flat.state_dict(), tmp_path / "flat.pt")
    with pytest.raises(UserError, match="position_embeddings"):
        load_encoder(UNETR(img_size=(32, 32, 64), **SIZES), tmp_path / "flat.pt")
