"""Pictures of validation cases are drawn from the original volumes, turned to RAS."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_cl.engines import OverlayPictures
from tests.data.volume_files import affine_of, ct_array, label_array, write_nifti


class Drawn:
    """In place of the report's figure: keeps what it was given."""

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def __call__(self, image, truth, prediction, **options) -> bytes:
        self.calls.append({"image": image, "truth": truth, "prediction": prediction, **options})
        return b"picture"


def engine_at(path, iteration: int, case: str = "case_1"):
    """What the handler reads of an evaluator after a case."""
    image = MetaTensor(torch.zeros(1, 4, 4, 4), meta={"filename_or_obj": str(path)})
    truth = torch.as_tensor(label_array())[None]
    output = {"label": truth, "pred": (truth > 0).to(torch.uint8)}
    return SimpleNamespace(
        state=SimpleNamespace(iteration=iteration, batch=[{"image": image, "id": case}], output=[output])
    )


@pytest.fixture
def scan(tmp_path):
    """An LPS volume with voxels of three sizes."""
    return write_nifti(tmp_path / "ct.nii.gz", ct_array(), affine_of("LPS", spacing=(1.0, 2.0, 3.0)))


def pictures(tmp_path, **options) -> tuple[OverlayPictures, Drawn]:
    draw = Drawn()
    return OverlayPictures(draw=draw, output_dir=tmp_path / "run", labels={1: "spleen"}, **options), draw


def test_everything_is_turned_to_ras_alike(tmp_path, scan):
    handler, draw = pictures(tmp_path)
    handler(engine_at(scan, 1))
    (call,) = draw.calls
    assert np.array_equal(call["image"], ct_array()[::-1, ::-1])
    assert np.array_equal(call["truth"], label_array()[::-1, ::-1])
    assert np.array_equal(call["prediction"], label_array()[::-1, ::-1] > 0)
    assert call["spacing"] == pytest.approx((1, 2, 3))
    assert (call["labels"], call["window"]) == ({1: "spleen"}, (-150.0, 250.0))


def test_an_image_that_says_its_own_range_is_drawn_in_it(tmp_path, scan):
    handler, draw = pictures(tmp_path)
    engine = engine_at(scan, 1)
    engine.state.batch[0]["image"].meta["window"] = [12.0, 900.0]
    handler(engine)
    assert draw.calls[0]["window"] == (12.0, 900.0)


def test_axes_that_are_permuted_take_their_spacing_along(tmp_path):
    scan = write_nifti(tmp_path / "ct.nii.gz", ct_array(), affine_of("SAR", spacing=(1.0, 2.0, 3.0)))
    handler, draw = pictures(tmp_path)
    handler(engine_at(scan, 1))
    assert np.array_equal(draw.calls[0]["image"], ct_array().transpose(2, 1, 0))
    assert draw.calls[0]["spacing"] == pytest.approx((3, 2, 1))


def test_pictures_are_files_named_after_the_case_once(tmp_path, scan):
    handler, _ = pictures(tmp_path)
    for _ in range(2):  # two validations
        handler(engine_at(scan, 1))
    assert handler.files == [tmp_path / "run" / "overlays" / "case_1.png"]
    assert handler.files[0].read_bytes() == b"picture"


@pytest.mark.parametrize(("options", "drawn"), [({"count": 2}, 2), ({"count": 0}, 0), ({"is_writer": False}, 0)])
def test_the_first_cases_are_drawn_and_by_the_writer_alone(tmp_path, scan, options, drawn):
    handler, draw = pictures(tmp_path, **options)
    for number in range(1, 4):
        handler(engine_at(scan, number, f"case_{number}"))
    assert len(draw.calls) == drawn
    assert [path.stem for path in handler.files] == [f"case_{number}" for number in range(1, drawn + 1)]
