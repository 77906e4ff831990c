"""A batch has a slice of each part, of as many parts as the labels of the position have, whatever their name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from monai_cl.data import CTSlices, Preparation, prepare, slice_volumes
from monai_cl.engines import part_slices
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, write_nifti


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """``drawn(meta_labels, *names)``: the batches of two scans of 16 slices."""
    folder, items = tmp_path_factory.mktemp("parts"), []
    for n in range(2):
        file = write_nifti(folder / f"s{n}.nii.gz", ct_array((16, 16, 16), seed=n), affine_of("RAS", (1.0, 1.0, 8.0)))
        items.append({"image": str(file), "id": f"s{n}", "dataset": "d", "patient": f"p{n}"})
    done = prepare(items, folder / "store", Preparation(spacing=None, layout="slices"), progress=False)
    slices = CTSlices(done.store, slice_volumes(done.store, done.keys, items, fraction=1.0), size=16)
    listed = SimpleNamespace(items=lambda split: items)

    def make(meta_labels, *names):
        targets = [f"label_{name}" for name in names]
        return part_slices(
            slices, listed, meta_labels=meta_labels, targets=targets, scans_per_batch=1, seed=0, world_size=1
        )

    return make


@pytest.mark.parametrize(
    ("meta_labels", "names", "parts"),
    [
        ({"position": {"parts": 4}}, ["position"], 4),
        ({"height": {"field": "position", "parts": 8}}, ["height"], 8),
        ({"height": {"field": "position", "parts": 8}, "patient": {}}, ["patient"], 8),
        ({"position": {"field": "patient", "parts": 5}, "z": {"field": "position", "parts": 4}}, ["position", "z"], 4),
        ({"position": {"parts": 4}, "again": {"field": "position", "parts": 4}}, ["position", "again"], 4),
        ({"height": {"field": "position"}}, ["height"], 3),
        ({"patient": {}}, ["patient"], 3),
    ],
)
def test_a_batch_has_each_part_of_the_label_once(drawn, meta_labels, names, parts):
    data = drawn(meta_labels, *names)
    assert data.sampler.batch_size == parts
    for name in names:
        if (meta_labels[name].get("field") or name) == "position":
            assert sorted(int(data[place][f"label_{name}"]) for place in range(parts)) == list(range(parts))


def test_two_numbers_of_parts_are_refused(drawn):
    labels = {"position": {"parts": 3}, "height": {"field": "position", "parts": 8}}
    with pytest.raises(UserError, match=r"expected one number of parts .* found position: 3, height: 8; give both"):
        drawn(labels, "position", "height")
