"""What weights were trained on goes into their files, and is not scored unless that is allowed: in every bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from monai_cl.data import load_data_list, read_volume
from monai_cl.data.io.fingerprint import scan_fingerprint
from monai_cl.data.records.training_scans import patient_keys, scans_record
from monai_cl.engines import scored_overlap, trained_scans
from monai_cl.engines.launch.error_report import user_error_in
from monai_cl.engines.overlap import _item_identity
from monai_cl.errors import UserError
from monai_cl.networks import save_weights
from tests.data.volume_files import affine_of, ct_array, label_array, write_itk, write_nifti

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
SPLEEN, MIXCL, WSP, META_LABELS, CLUSTERING, CIRRHOSIS = (
    "spleen_unetr_segmentation",
    "mixcl_ct_pretraining",
    "wsp_ct_pretraining",
    "meta_label_pretraining",
    "clustering_pretraining",
    "cirrhosis_classification",
)
SHAPE = (20, 16, 12)


@pytest.fixture
def data_list(tmp_path) -> Path:
    """Four labelled scans of four patients with targets; two train in fold 0, two validate."""
    items = []
    for number in range(4):
        name = f"case{number}"
        write_nifti(tmp_path / f"{name}.nii.gz", ct_array(SHAPE, number), affine_of("LPS"))
        write_nifti(tmp_path / f"{name}_label.nii.gz", label_array(SHAPE, (1, 2)), affine_of("LPS"))
        items.append(
            {
                **{"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz", "patient": f"Patient {number}"},
                **{"fold": number % 2, "target": number // 2},
            }
        )
    path = tmp_path / "list.json"
    labels = {"0": "background", "1": "liver", "2": "spleen"}
    path.write_text(json.dumps({"name": "small", "labels": labels, "training": items}))
    return path


def weights(path: Path, scans: Any, *, encoder: Any = None) -> Path:
    """A file of weights that says that it was trained on these scans."""
    return save_weights({"w": torch.zeros(1)}, path, {"training": {"scans": scans}, "encoder": encoder})


def record_of(data_list: Path, *ids: str, used: str = "labels") -> list[dict]:
    """What a training on these scans records."""
    loaded = load_data_list(data_list)
    scans = [_item_identity(loaded, item, None, None) for item in loaded.items() if item["id"] in ids]
    return [{**entry, "used": used} for entry in scans_record(scans)]


def parsed(bundle: str, data_list: Path, key: str, *overlays: str, **options: Any) -> Any:
    """One entry of a bundle's configs, resolved with what it refers to."""
    files = [str(BUNDLES / bundle / "configs" / f"{name}.yaml") for name in ("train", *overlays)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    folder = str(data_list.parent)
    given = {"data_list": str(data_list), "dataset_dir": folder, "store_dir": f"{folder}/store", "prepare_workers": 1}
    for name, value in {**given, "spacing": [3.0, 3.0, 3.0], "patch_size": [32, 32, 32], **options}.items():
        if name in parser or name not in ("spacing", "patch_size"):
            parser[name] = value
    return parser.get_parsed_content(key)


@pytest.mark.parametrize(
    ("bundle", "key", "options", "cases", "used"),
    [
        (MIXCL, "train#recorder#training_scans", {}, "0123", "labels"),
        (MIXCL, "train#recorder#training_scans", {"preset": "identity"}, "0123", ""),
        (SPLEEN, "train#recorder#training_scans", {"fold": 0}, "13", "labels"),
        (WSP, "train#recorder#training_scans", {}, "0123", "target"),
        (WSP, "train#recorder#training_scans", {"method": "simclr"}, "0123", ""),
        (META_LABELS, "train#recorder#training_scans", {}, "0123", ""),
        (CLUSTERING, "train#recorder#training_scans", {}, "0123", ""),
        (CLUSTERING, "train#recorder#training_scans", {"heads": ["target"]}, "0123", "target"),
        (CIRRHOSIS, "train#recorder#training_scans", {"fold": 0, "folds": "list"}, "13", "target"),
    ],
)
def test_a_training_records_its_scans(data_list, bundle, key, options, cases, used):
    found = parsed(bundle, data_list, key, **options)
    wanted = [
        {
            "fingerprint": scan_fingerprint(read_volume(data_list.parent / f"case{case}.nii.gz")),
            "patient": sorted(patient_keys(f"Patient {case}", dataset="small", stated=True)),
            "used": used,
        }
        for case in cases
    ]
    assert found == wanted
    assert "Patient" not in json.dumps(found)


FINE_TUNING = (SPLEEN, "overlap", (), "pretrained_encoder", {"fold": 0})
EVALUATION = (SPLEEN, "overlap", ("evaluate",), "checkpoint", {"fold": 0})
PROBE = (CIRRHOSIS, "probe_overlap", (), "encoder", {})
CLASSIFIER = (CIRRHOSIS, "overlap", (), "encoder", {"fold": 0, "folds": "list"})
CLASSIFIER_EVALUATION = (CIRRHOSIS, "overlap", ("evaluate",), "checkpoint", {"fold": 0, "folds": "list"})
DOORS = [FINE_TUNING, EVALUATION, PROBE, CLASSIFIER, CLASSIFIER_EVALUATION]


@pytest.mark.parametrize(("bundle", "key", "overlays", "option", "more"), DOORS)
def test_scored_scans_that_the_weights_know_are_refused(data_list, tmp_path, bundle, key, overlays, option, more):
    options = {option: str(weights(tmp_path / "w.pt", record_of(data_list, "case2"))), **more}
    with pytest.raises(RuntimeError, match="Failed to evaluate") as raised:  # by MONAI
        parsed(bundle, data_list, key, *overlays, **options)
    text = str(user_error_in(raised.value))
    scored = 4 if key == "probe_overlap" else 2
    assert f"know none of the {scored} scans of {data_list}" in text
    assert "trained on the scans case2 (with their labels)" in text
    assert "--allow_overlap True" in text
    found = parsed(bundle, data_list, key, *overlays, **options, allow_overlap=True)
    assert found == {
        **{"weights": options[option], "scored": scored, "scans": ["case2"], "patients": [], "used": ["labels"]}
    }


@pytest.mark.parametrize(("bundle", "key", "overlays", "option", "more"), [FINE_TUNING, EVALUATION, CLASSIFIER])
def test_labelled_scans_of_training_may_be_known(data_list, tmp_path, bundle, key, overlays, option, more):
    known = weights(tmp_path / "w.pt", record_of(data_list, "case1", "case3"))
    found = parsed(bundle, data_list, key, *overlays, **{option: str(known)}, **more)
    assert (found["scored"], found["scans"], found["patients"]) == (2, [], [])


@pytest.mark.parametrize("option", ["pretrained_encoder", "encoder"])
def test_a_run_from_scratch_asks_nothing(data_list, option):
    bundle = SPLEEN if option == "pretrained_encoder" else CIRRHOSIS
    assert parsed(bundle, data_list, "overlap", fold=0, **({} if bundle == SPLEEN else {"folds": "list"})) is None


def test_another_scan_of_the_patient_is_refused(data_list, tmp_path):
    other = [{"fingerprint": "1x1x1:" + "0" * 32, "patient": record_of(data_list, "case0")[0]["patient"], "used": ""}]
    known = weights(tmp_path / "w.pt", other)
    loaded = load_data_list(data_list)
    with pytest.raises(UserError, match="trained on other scans of the patients of case0"):
        scored_overlap(known, loaded, loaded.items())
    found = scored_overlap(known, loaded, loaded.items(), allow=True)
    assert (found["scans"], found["patients"], found["used"]) == ([], ["case0"], [])


def test_a_copy_in_another_format_is_the_same_scan(data_list, tmp_path):
    record = record_of(data_list, "case0")
    for entry in record:
        entry["patient"] = []
    write_itk(tmp_path / "renamed.nrrd", ct_array(SHAPE, 0), affine_of("LPS"))
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"name": "other", "training": [{"image": "renamed.nrrd"}]}))
    loaded = load_data_list(path)
    with pytest.raises(UserError, match="trained on the scans renamed"):
        scored_overlap(weights(tmp_path / "w.pt", record), loaded, loaded.items())


def test_the_encoder_behind_a_fine_tuned_model_counts_too(data_list, tmp_path):
    encoder = {"training": {"scans": record_of(data_list, "case0")}, "encoder": None}
    model = weights(tmp_path / "model.pt", record_of(data_list, "case1"), encoder=encoder)
    assert len(trained_scans(model)) == 2
    loaded = load_data_list(data_list)
    with pytest.raises(UserError, match="case0"):
        scored_overlap(model, loaded, [item for item in loaded.items() if item["fold"] == 0])


@pytest.mark.parametrize("scans", [None, [], [{"id": "case0"}]])
def test_weights_that_say_nothing_are_taken_with_a_warning(data_list, tmp_path, caplog, scans):
    loaded = load_data_list(data_list)
    assert scored_overlap(weights(tmp_path / "w.pt", scans), loaded, loaded.items()) is None
    torch.save({"w": torch.zeros(1)}, tmp_path / "foreign.pt")
    assert scored_overlap(tmp_path / "foreign.pt", loaded, loaded.items()) is None
    assert caplog.text.count("does not say which scans it was trained on") == 2


@pytest.mark.parametrize(("word", "allowed"), [("true", True), ("True", True), ("false", False), ("False", False)])
def test_words_of_a_command_line_are_what_they_say(data_list, tmp_path, word, allowed):
    known, loaded = weights(tmp_path / "w.pt", record_of(data_list, "case0")), load_data_list(data_list)
    if allowed:
        assert scored_overlap(known, loaded, loaded.items(), allow=word)["scans"] == ["case0"]
    else:
        with pytest.raises(UserError, match="case0"):
            scored_overlap(known, loaded, loaded.items(), allow=word)


@pytest.mark.parametrize("word", ["yes", 1, None, ""])
def test_other_words_are_refused(data_list, word):
    loaded = load_data_list(data_list)
    with pytest.raises(UserError, match="--allow_overlap: expected true or false, found"):
        scored_overlap(None, loaded, [], allow=word)
