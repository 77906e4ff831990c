"""An option that needs no scan is refused before any scan is prepared, which takes hours of many."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tests.bundles.conftest import BUNDLES, ORGANS, SPLEEN
from tests.bundles.conftest import PRETRAINING as MIXCL
from tests.bundles.head_runs import CLUSTERING
from tests.bundles.slice_runs import CLASSIFICATION
from tests.bundles.slice_runs import PRETRAINING as WSP
from tests.bundles.workflow import initialised, refusal, run_workflow
from tests.data.volume_files import affine_of, ct_array, write_nifti

# option -> a value that it does not take, and how the refusal names it; the others are asked beside non_finite
OPTIONS = {
    "views": ({"probability": 2.0}, "2.0"),
    "non_finite": ("sometimes", "non_finite: expected stop or skip, found 'sometimes'"),
}
# asked also where the method does not use them
LABELS = {
    "meta_labels": (
        {"position": {"weight": 1, "gama": [5, 60]}},
        "meta_labels.position: expected of weight, gamma, parts, field, shuffled, found 'gama'; did you mean gamma?",
    ),
    "meta_labels#position": (None, "meta_labels.position: expected its options, such as {weight: 0.1}"),
    "temperature": ("0.07 of the paper", "temperature: expected a number above 0, found '0.07 of the paper'"),
    "labelled_scans": (True, "labelled_scans: expected a number of scans, or a list of their ids, found True"),
}
SCHEDULE = {"loss_schedule": ({"nonsense": [[0, 1.0]]}, "loss_schedule: expected terms of this loss")}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("bundle", [WSP, CLASSIFICATION])
def test_of_graded_slices(slice_run, tmp_path, bundle, option):
    _refused(slice_run, tmp_path, bundle, "train", option, **({"run_id": "finetune"} if bundle != WSP else {}))


@pytest.mark.parametrize("option", [*OPTIONS, *LABELS][:-1])
def test_of_slices_with_meta_labels(cine_run, tmp_path, option):
    _refused(cine_run, tmp_path, "meta_label_pretraining", "train", option)


@pytest.mark.parametrize("option", [*OPTIONS, *SCHEDULE])
def test_of_few_labelled_scans(cine_run, tmp_path, option):
    _refused(cine_run, tmp_path, "semi_supervised_segmentation", "train", option, method="self_paced")


def test_of_a_validation_scan_whose_slices_are_not_axial(cine_run, cine, tmp_path):
    turned = tmp_path / "turned.nii.gz"
    write_nifti(turned, ct_array((12, 12, 12)), affine_of("LPS", (8.0, 1.0, 1.0)))
    document = json.loads((cine / "cine.json").read_text(encoding="utf-8"))
    document["validation"][0] |= {"image": str(turned), "label": str(shutil.copy(turned, tmp_path / "label.nii.gz"))}
    (tmp_path / "list.json").write_text(json.dumps(document), encoding="utf-8")
    given = {"data_list": str(tmp_path / "list.json"), "store_dir": str(tmp_path / "store"), "allow_outside": True}
    with pytest.raises(RuntimeError) as caught:
        cine_run("semi_supervised_segmentation", "train", **given, output_dir=str(tmp_path / "run"))
    assert f"{turned}: expected slices along the body axis" in refusal(caught)
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("self_paced", "temperature"),
        *((method, option) for method in ("self_paced", "entropy") for option in LABELS if option != "temperature"),
    ],
)
def test_of_meta_labels_by_every_method(cine_run, tmp_path, method, option):
    _refused(cine_run, tmp_path, "semi_supervised_segmentation", "train", option, method=method)


@pytest.mark.parametrize(
    ("names", "option"),
    [
        *((("train",), option) for option in OPTIONS),
        *((("train", "pretrain"), option) for option in [*OPTIONS, *SCHEDULE]),
    ],
)
def test_of_head_ct(head_run, tmp_path, names, option):
    _refused(head_run, tmp_path, *names, option, **(CLUSTERING if len(names) > 1 else {}))


@pytest.mark.parametrize("option", [*OPTIONS, *SCHEDULE])
@pytest.mark.parametrize("bundle", [MIXCL, SPLEEN])
def test_of_volumes(training_options, tmp_path, bundle, option):
    if (bundle, option) != (SPLEEN, "views"):  # its crops are warped
        _refused(
            lambda *names, **more: run_workflow(*names, **training_options(bundle, **more)),
            tmp_path,
            bundle,
            "train",
            option,
        )


@pytest.mark.parametrize("bundle", [ORGANS, SPLEEN])
def test_a_mean_teachers_schedule(training_options, tmp_path, bundle):
    """The handler's loss is asked: the term that it has is taken, another is refused; no scan is prepared for it."""
    taught = {"unlabelled_weight": 1.0, "label_fraction": 0.5}
    _refused(
        lambda *names, **more: run_workflow(*names, **training_options(bundle, **more)),
        tmp_path,
        bundle,
        "train",
        "loss_schedule",
        **taught,
    )
    ramp = {"unlabelled": [[0, 0.0], [500, 1.0]]}
    places = {"output_dir": str(tmp_path / "run"), "store_dir": str(tmp_path / "store")}
    initialised(bundle, "train", **training_options(bundle, **taught, **places, loss_schedule=ramp))
    assert not (tmp_path / "store").exists()


def test_the_schedule_is_asked_of_the_loss_that_it_changes():
    for file in BUNDLES.glob("*/configs/*.yaml"):
        text = file.read_text(encoding="utf-8")
        changed = re.findall(r"_target_: monai_cl.engines.LossSchedule\n +loss: \"(@\w+)\"", text)
        assert re.findall(r"engines.LossSchedule\(loss=(@\w+),", text) == changed, file


def _refused(run, tmp_path, *words: str, **options: object) -> None:
    """The run ends with a refusal of the option, and neither its folder nor its store is there."""
    *names, option = words
    value, message = {**OPTIONS, **LABELS, **SCHEDULE}[option]
    places = {"output_dir": str(tmp_path / "run"), "store_dir": str(tmp_path / "store")}
    with pytest.raises((RuntimeError, ValueError)) as caught:
        run(*names, **{**options, **places, option: value})
    assert message in refusal(caught)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "store").exists()
