"""The box around a head: the same voxels whatever the orientation of the file, and its slices' findings with them."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_cl.errors import UserError
from monai_cl.transforms import HeadBoxd, box_findings, head_box

SIZE = (8, 14, 12)


def head(shape=(40, 46, 30), spacing=(5.0, 5.0, 6.0)) -> tuple[np.ndarray, np.ndarray]:
    """A brain in a skull, on a table beside it; RAS."""
    rng = np.random.default_rng(0)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-90, -120, 7]
    x, y, z = (np.arange(n) * s for n, s in zip(shape, spacing))
    middle = np.array([104.0, 110, 76])
    r = np.sqrt(
        ((x - middle[0])[:, None, None] / 70) ** 2
        + ((y - middle[1])[None, :, None] / 90) ** 2
        + ((z - middle[2])[None, None] / 80) ** 2
    )
    volume = np.where(r < 1, np.where(r > 0.9, 900, 35 + rng.normal(0, 5, shape)), -1000)
    volume[5:35, 2:4, :] = 100  # the table, apart from the head and smaller
    return volume.astype(np.float32), affine


def as_image(array: np.ndarray, affine: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(array))[None], affine=torch.from_numpy(affine))


def orientations() -> list[str]:
    pairs = ("RL", "AP", "SI")
    return [
        "".join(pair[flip] for pair, flip in zip(order, flips))
        for order in itertools.permutations(pairs)
        for flips in itertools.product((0, 1), repeat=3)
    ]


def test_any_orientation_of_the_file_gives_the_same_box_and_findings():
    volume, affine = head()
    findings = [None] * 10 + [0, 0, 1, 0, 0, 0, 1, 1] + [0] * 12
    transform = HeadBoxd(["image"], size=SIZE)
    expected = transform({"image": as_image(volume, affine), "slice_findings": findings})
    assert expected["image"].shape == (1, 12, 14, 8)
    assert set(expected["slice_findings"].tolist()) == {-1.0, 0.0, 1.0}
    for codes in orientations():
        turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
        turned = nib.orientations.apply_orientation(volume, turn)
        own_affine = affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)
        axis = next(i for i, code in enumerate(codes) if code in "SI")
        own_findings = findings if codes[axis] == "S" else findings[::-1]
        made = transform({"image": as_image(turned, own_affine), "slice_findings": own_findings})
        np.testing.assert_array_equal(made["image"], expected["image"])
        np.testing.assert_allclose(made["image"].affine, expected["image"].affine, atol=1e-9)
        assert made["slice_findings"].tolist() == expected["slice_findings"].tolist()


def test_the_box_reaches_from_the_vertex_160_mm_down_and_around_the_head():
    volume, affine = head()
    box, box_affine = head_box(volume, affine, size=SIZE)
    corners = np.array([[-0.5, -0.5, -0.5, 1], [11.5, 13.5, 7.5, 1]]) @ box_affine.T
    inside = np.argwhere(volume[:, 4:] > -300) + np.array([0, 4, 0])  # without the table
    first, last = (np.append(inside.min(0) - 0.5, 1) @ affine.T, np.append(inside.max(0) + 0.5, 1) @ affine.T)
    np.testing.assert_allclose(corners[:, :2], [first[:2], last[:2]])
    area = (volume[:, 4:] > -300).sum((0, 1)) * 25
    top = affine[2, 3] + 6 * (np.flatnonzero(area > 1000)[-1] + 0.5)
    np.testing.assert_allclose(corners[:, 2], [top - 160, top], atol=1e-9)
    assert box.min() >= -1000


def test_voxels_are_means_over_their_part_of_the_volume():
    volume, affine = head()
    full, _ = head_box(volume, affine, size=(40, 56, 48))
    pooled, _ = head_box(volume, affine, size=(20, 28, 24))
    np.testing.assert_allclose(full.reshape(24, 2, 28, 2, 20, 2).mean((1, 3, 5)), pooled, atol=0.05)
    same, same_affine = head_box(volume, affine, size=volume.shape[::-1], find=False)
    np.testing.assert_allclose(same, volume, atol=1e-3)
    np.testing.assert_allclose(same_affine, affine)


def test_beyond_the_file_there_is_air():
    volume, affine = head()
    short = volume[:, :, 20:]  # 60 mm of the head
    shifted = affine.copy()
    shifted[2, 3] += 20 * 6
    box, _ = head_box(short, shifted, size=(40, 14, 12))
    assert (box[:, :, :20] == -1000).all()
    whole, _ = head_box(volume, affine, size=(40, 14, 12))
    assert abs(box[:, :, 30:] - whole[:, :, 30:]).max() > 0  # the head is narrower here, so the box is
    with_findings = HeadBoxd(["image"], size=(40, 14, 12))(
        {"image": as_image(short, shifted), "slice_findings": [1] * short.shape[2]}
    )
    assert (with_findings["slice_findings"][:20] == -1).all()
    assert with_findings["slice_findings"].max() == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, None, None, 0, None], [1, -1, 0]),
        ([None] * 6, [-1, -1, -1]),
        ([0] * 6, [0, 0, 0]),
        (None, [-1, -1, -1]),
    ],
)
def test_a_slice_of_the_box_shows_what_any_slice_of_the_file_in_it_shows(values, expected):
    box = np.diag([1.0, 1, 2, 1])
    box[2, 3] = 0.5
    found = box_findings(values, affine=np.eye(4), shape=(3, 4, 6), box_affine=box, depth=3)
    assert found.tolist() == expected


def test_another_number_of_findings_than_slices_is_refused():
    with pytest.raises(UserError, match=r"a.nii: expected a value for each of 6 slices, found 5 under slice_findings"):
        box_findings([0] * 5, affine=np.eye(4), shape=(3, 4, 6), box_affine=np.eye(4), depth=3, where="a.nii")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda v: v * 0 - 1000, "nothing above -300 HU"),
        (lambda v: np.where(np.arange(v.size).reshape(v.shape) == 5, 40, -1000), "no slice with more than 10 cm²"),
        (lambda v: v * 0 + 40, "something of 200 x 230 mm"),
    ],
)
def test_what_is_no_head_is_refused(change, found):
    volume, affine = head()
    if "something" in found:
        affine = affine @ np.diag([1.6, 1.6, 1, 1])
        found = "something of 320 x 368 mm"
    with pytest.raises(UserError, match=f"expected a head of 80 to 300 mm in its slices, found {found}"):
        head_box(change(volume), affine, size=SIZE)


def test_a_size_must_be_three_numbers():
    with pytest.raises(ValueError, match=r"size must be three numbers >= 1, got \[4, 4\]"):
        head_box(*head(), size=(4, 4))


def test_findings_are_cut_once_however_many_images_there_are():
    volume, affine = head()
    findings = [int(k % 3 == 0) for k in range(volume.shape[2])]
    both = {"image": as_image(volume, affine), "again": as_image(volume, affine), "slice_findings": findings}
    one = HeadBoxd(keys=["image"], size=SIZE)(both)["slice_findings"]
    assert HeadBoxd(keys=["image", "again"], size=SIZE)(both)["slice_findings"].tolist() == one.tolist()
