"""A NIfTI header says twice where its voxels lie: the two must agree, to what a quaternion in float32 can hold."""

from __future__ import annotations

import gzip
import itertools
import re
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.cli.commands import main
from monai_cl.data import read_volume
from monai_cl.data.io.reading import read_grid
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, rotated

CODES = ["".join(codes) for axes in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*axes)]
AFFINE = affine_of("LPS", spacing=(2.0, 1.5, 4.0))
MOVED = AFFINE + 42 * np.eye(4, k=3)
TILTED = AFFINE + np.outer([0, 1.2, 0, 0], [0, 0, 1, 0])  # nibabel leaves the shear out of the qform


def write(path: Path, sform: np.ndarray, qform: np.ndarray, shape=(20, 16, 12), codes=(1, 1), **fields) -> Path:
    image = nib.Nifti1Image(ct_array(shape), sform)
    image.set_qform(qform, codes[1])
    image.set_sform(sform, codes[0])
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + raw[348:])
    return path


@pytest.mark.parametrize("read", [read_volume, read_grid])
def test_forms_that_differ_are_refused_with_both_and_how_far_they_are_apart(tmp_path, read):
    path = write(tmp_path / "ct.nii", MOVED, AFFINE)
    match = (
        r"ct\.nii: expected a qform and an sform that agree, found a qform with the first voxel at \(-7, 11, 3\) mm "
        r"and an sform with it at \(35, 11, 3\) mm, up to 42 mm apart; look which of them "
        r"fits the anatomy: python -m monai_cl convert \S+ NEW\.nii\.gz --form sform keeps the sform"
    )
    with pytest.raises(UserError, match=match):
        read(path)


@pytest.mark.parametrize("name", ["ct.nii", "a $(name) of 'two'.nii.gz"])
@pytest.mark.parametrize(
    ("sform", "qform", "kept"),
    [
        (MOVED, AFFINE, ("sform", "qform")),
        (TILTED, TILTED, ("sform", "qform")),
        (np.diag([2, 2, 2, 1]) @ AFFINE, AFFINE, ("sform", "qform")),  # two spacings as well
    ],
    ids=["moved", "tilted", "two spacings"],
)
def test_the_remedy_keeps_the_voxels_and_the_form_that_is_wanted(tmp_path, monkeypatch, sform, qform, kept, name):
    path = write(tmp_path / "ct.nii", sform, qform, scl_slope=0.5, scl_inter=-1024)
    if name.endswith(".gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress((tmp_path / "ct.nii").read_bytes()))
    stated = {"sform": sform, "qform": nib.load(path).get_qform()}
    with pytest.raises(UserError) as error:
        read_volume(path)
    command = re.search(r"anatomy: python -m monai_cl (convert .*? --form sform) keeps the sform", str(error.value))[1]
    assert "--form qform keeps" in str(error.value)
    monkeypatch.chdir(tmp_path)
    for number, form in enumerate(kept):
        words = shlex.split(command.replace("NEW", f"new{number}").replace("--form sform", f"--form {form}"))
        main(words)
        found = read_volume(tmp_path / f"new{number}.nii.gz")
        np.testing.assert_allclose(found.affine, stated[form], atol=1e-5)
        np.testing.assert_array_equal(found.array, ct_array() / 2 - 1024)


def test_a_form_that_is_not_there_cannot_be_kept(tmp_path):
    path = write(tmp_path / "ct.nii", MOVED, AFFINE, codes=(1, 0))
    with pytest.raises(UserError, match=r"ct\.nii: expected a qform, found it switched off; take the other"):
        read_volume(path, form="qform")


@pytest.mark.parametrize("codes", [(1, 0), (0, 1)])
def test_a_form_that_is_switched_off_is_not_asked(tmp_path, codes):
    path = write(tmp_path / "ct.nii", MOVED, AFFINE, codes=codes)
    np.testing.assert_allclose(read_volume(path).affine, MOVED if codes[0] else AFFINE, atol=1e-5)


def test_forms_of_one_place_agree_in_any_orientation_however_their_numbers_are_rounded():
    from monai_cl.data.io.nifti import _check_forms_agree

    rng, shape = np.random.default_rng(0), (512, 512, 300)
    beyond = 0
    for number in range(960):
        turn = rng.normal(0, (0, 1e-3, 1e-2, 1, 60)[number % 5], 3)
        affine = rotated(affine_of(CODES[number % 48], (0.7, 0.7, 2.5)), turn)
        header = nib.Nifti1Header()
        header.set_data_shape(shape)
        header.set_sform(affine, 1)
        header.set_qform(affine, 1)
        _check_forms_agree(Path("ct.nii"), header)
        beyond += not np.allclose(header.get_qform(), affine, atol=1e-4)
    assert beyond  # a turn by about 180 degrees is held that badly by a quaternion


def test_a_turn_of_half_a_degree_is_seen_at_a_corner(tmp_path):
    path = write(tmp_path / "ct.nii", rotated(AFFINE, (0, 0, 0.5)), AFFINE, shape=(64, 64, 4))
    with pytest.raises(UserError, match=r"a qform and an sform that agree, .* up to 1\.\d+ mm apart"):
        read_volume(path)


def test_a_sign_of_zero_counts_as_one(tmp_path):
    path = write(tmp_path / "ct.nii", AFFINE, AFFINE, pixdim=[0, 2, 1.5, 4, 1, 1, 1, 1])
    np.testing.assert_allclose(read_volume(path).affine, AFFINE, atol=1e-5)


ZERO = np.zeros(4)


@pytest.mark.parametrize(
    ("fields", "wrong", "kept"),
    [
        ({"quatern_b": 0.9, "quatern_c": 0.9}, "a qform that is not a rotation", "sform"),
        ({"pixdim": [1, -2, 1.5, 4, 1, 1, 1, 1]}, "a qform that is not a rotation", "sform"),
        ({"srow_x": ZERO, "srow_y": ZERO, "srow_z": ZERO}, "an sform that is singular", "qform"),
        ({"srow_x": [0, 1.5, 0, 0], "srow_y": [0, 1.5, 0, 0]}, "an sform that is singular", "qform"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "an sform that is not finite", "qform"),
    ],
)
def test_of_two_forms_of_which_one_is_no_place_the_other_can_be_kept(tmp_path, monkeypatch, fields, wrong, kept):
    path = write(tmp_path / "ct.nii", AFFINE, AFFINE, **fields)
    for read in (read_volume, read_grid):
        with pytest.raises(UserError, match=rf"expected a qform and an sform that agree, found .*{wrong}") as error:
            read(path)
    command, _, after = str(error.value.remedy).partition(f" keeps the {kept}")
    assert after == ""
    monkeypatch.chdir(tmp_path)
    main(shlex.split(command.removeprefix("python -m monai_cl ")))
    found = read_volume(tmp_path / "NEW.nii.gz")
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(found.array, ct_array())
