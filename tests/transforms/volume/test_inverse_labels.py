"""InvertLabelsd gives the labels of MONAI's Invertd and argmax, without the scores on the scan's own grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, CropForegroundd, Invertd, RandFlipd

from monai_cl.engines.segmentation.data import image_preprocessing
from monai_cl.transforms.volume import inverse_labels
from monai_cl.transforms.volume.inverse_labels import InvertLabelsd, axis_samples, interpolated_argmax
from tests.data.volume_files import affine_of, ct_array, write_nifti

TILT = np.array([[1, 0, 0, 0], [0, 1, 0.3, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
ORIENTATIONS = ["RAS", "LPS", "SRP", "ALI"]
SPACINGS = [(1.5, 1.5, 2.0), (0.35, 0.4, 0.9), (0.7, 0.9, 2.5)]  # coarser, finer, and that of the file


def prepared(tmp_path, preprocessing, affine, *, classes=5, seed=0):
    """An item after its preprocessing, with random scores."""
    path = write_nifti(tmp_path / "scan.nii.gz", ct_array(), affine)
    item = preprocessing({"image": str(path)})
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, classes, *(max(2, n // 3) for n in item["image"].shape[1:]), generator=generator)
    scores = torch.nn.functional.interpolate(3 * noise, item["image"].shape[1:], mode="trilinear")[0].softmax(0)
    return {**item, "pred": MetaTensor(scores, meta=dict(item["image"].meta))}


def monais(item, preprocessing):
    """Scores and labels as MONAI's two transforms make them."""
    inverted = Invertd("pred", preprocessing, "image", nearest_interp=False)(dict(item))
    return inverted["pred"].as_tensor(), AsDiscreted("pred", argmax=True)(inverted)["pred"]


def assert_same_but_for_ties(ours, scores, theirs):
    differ = (ours != theirs).as_tensor()[0]
    assert differ.float().mean() < 0.01
    two = scores[:, differ].topk(2, dim=0).values
    assert two.numel() == 0 or (two[0] - two[1]).max() < 2e-5, "the two highest scores of a point that differs"
    assert len(theirs.unique()) > 2


@pytest.fixture
def no_inverse_of_scores(monkeypatch):
    def refused(*_):
        raise AssertionError("MONAI's inverse was called")

    monkeypatch.setattr(Invertd, "__call__", refused)


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_labels_are_monais(tmp_path, axes, spacing):
    preprocessing = image_preprocessing(spacing=spacing)
    item = prepared(tmp_path, preprocessing, affine_of(axes))
    ours = InvertLabelsd("pred", preprocessing, "image")(item)["pred"]
    scores, theirs = monais(item, preprocessing)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype) == ((1, *ct_array().shape), torch.float32)
    assert_same_but_for_ties(ours, scores, theirs)
    assert ours.applied_operations == theirs.applied_operations == []
    assert ours.meta.keys() == theirs.meta.keys()
    assert ours.meta["filename_or_obj"] == theirs.meta["filename_or_obj"]
    torch.testing.assert_close(ours.affine, theirs.affine)
    np.testing.assert_allclose(ours.affine, affine_of(axes), atol=1e-6)


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_the_scores_are_not_written_out_on_the_scans_grid(tmp_path, axes, no_inverse_of_scores):
    preprocessing = image_preprocessing()
    item = prepared(tmp_path, preprocessing, affine_of(axes))
    assert InvertLabelsd("pred", preprocessing, "image")(item)["pred"].shape == (1, *ct_array().shape)


def test_where_only_axes_were_turned_nothing_is_interpolated(tmp_path, monkeypatch):
    preprocessing = image_preprocessing(spacing=(0.7, 0.9, 2.5))
    item = prepared(tmp_path, preprocessing, affine_of("LPS"))
    monkeypatch.setattr(inverse_labels, "_at", None)
    ours = InvertLabelsd("pred", preprocessing, "image")(item)["pred"]
    assert torch.equal(ours.as_tensor(), monais(item, preprocessing)[1].as_tensor())


@pytest.mark.parametrize(
    ("step", "affine"),
    [
        (None, affine_of("LPS") @ TILT),
        (CropForegroundd("image", "image", select_fn=lambda image: image > 0.5, allow_smaller=True), affine_of("LPS")),
        (RandFlipd("image", prob=1.0, spatial_axis=0), affine_of("LPS")),
    ],
    ids=["a tilted gantry", "a crop", "a flip"],
)
def test_elsewhere_monais_inverse_is_taken(tmp_path, step, affine):
    preprocessing = image_preprocessing()
    if step is not None:
        preprocessing = Compose([*preprocessing.transforms, step])
    item = prepared(tmp_path, preprocessing, affine)
    ours = InvertLabelsd("pred", preprocessing, "image")(item)["pred"]
    theirs = monais(item, preprocessing)[1]
    assert torch.equal(ours.as_tensor(), theirs.as_tensor())
    assert torch.equal(ours.affine, theirs.affine)


def test_the_item_given_is_not_changed(tmp_path):
    preprocessing = image_preprocessing()
    item = prepared(tmp_path, preprocessing, affine_of("RAS"))
    scores, operations = item["pred"].clone(), list(item["image"].applied_operations)
    InvertLabelsd("pred", preprocessing, "image")(item)
    assert torch.equal(item["pred"], scores)
    assert item["image"].applied_operations == operations


def brute_force(scores, positions):
    """Linear interpolation of every class by its definition, float64."""
    for axis, places in enumerate(positions, start=1):
        at = places.double().clamp(0, scores.shape[axis] - 1)
        low = at.floor().long().clamp(max=max(scores.shape[axis] - 2, 0))
        shape = [-1 if axis == other else 1 for other in range(4)]
        weight = (at - low).reshape(shape)
        high = (low + 1).clamp(max=scores.shape[axis] - 1)
        scores = scores.index_select(axis, low) * (1 - weight) + scores.index_select(axis, high) * weight
    return scores


@settings(deadline=None)
@given(
    scores=arrays(np.int64, (3, 3, 2, 1), elements=st.integers(0, 3)),
    positions=st.tuples(
        *[st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 1.75, 5.0]), min_size=1, max_size=4)] * 3
    ),
    at_a_time=st.integers(1, 9),
)
def test_it_is_the_argmax_of_the_interpolated_scores(scores, positions, at_a_time):
    scores = torch.as_tensor(scores, dtype=torch.float64)
    places = [torch.tensor(position) for position in positions]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverse_labels, "_POINTS", at_a_time)
        labels = interpolated_argmax(scores, [axis_samples(p, n) for p, n in zip(places, scores.shape[1:])])
    expected = brute_force(scores, places)
    # quarters of small integers are exact, so that a tie is a tie
    assert torch.equal(labels.long(), (expected == expected.amax(0)).long().argmax(0))


@pytest.mark.gpu
def test_it_is_the_same_on_a_gpu(tmp_path):
    preprocessing = image_preprocessing()
    item = prepared(tmp_path, preprocessing, affine_of("LPS"))
    here = InvertLabelsd("pred", preprocessing, "image")(item)["pred"]
    there = InvertLabelsd("pred", preprocessing, "image")({**item, "pred": item["pred"].cuda()})["pred"]
    assert there.device.type == "cuda"
    assert (here != there.cpu()).float().mean() < 1e-3
