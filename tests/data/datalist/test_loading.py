"""Reading data lists: what items look like, how roots and inclusions combine, and the lists that are shipped."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cl.data.datalist.json_files import format_json, write_json
from monai_cl.data.datalist.loading import load_data_list
from monai_cl.data.datalist.schema import SCHEMA_FILE
from monai_cl.errors import UserError
from tests.laps import ratio

LISTS = Path(__file__).resolve().parents[3] / "data_lists"
CASES = {
    "btcv": 30,
    "kits19": 210,
    "mixcl_pretraining": 765,
    "msd_liver": 131,
    "msd_lung": 63,
    "msd_pancreas": 281,
    "msd_spleen": 41,
    "nih_pancreas_ct": 80,
    "tcga_lihc": 49,
}


def minimal(**changes) -> dict:
    item = {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    return {"name": "small", "labels": {"0": "background", "1": "liver"}, "training": [item]} | changes


def save(folder: Path, document, name: str = "list.json") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_items_are_ready_for_monai(tmp_path):
    (item,) = load_data_list(save(tmp_path, minimal())).items()
    assert item == {
        "image": str(tmp_path / "imagesTr" / "a.nii.gz"),
        "label": str(tmp_path / "labelsTr" / "a.nii.gz"),
        "fold": None,
        "patient": "a",
        "id": "a",
        "dataset": "small",
        "label_map": None,
        "label_ids": (0, 1),
        "label_names": {0: "background", 1: "liver"},
    }


def test_scan_without_label_has_no_label_key(tmp_path):
    document = minimal(training=[{"image": "a.nii.gz", "target": 2, "meta": {"phase": "portal"}}])
    (item,) = load_data_list(save(tmp_path, document)).items()
    assert "label" not in item
    assert item["target"] == 2
    assert item["meta"] == {"phase": "portal"}


def test_data_root_and_root_put_folders_in_front(tmp_path):
    path = save(tmp_path, minimal(root="Task03_Liver"))
    data_list = load_data_list(path, data_root="/data")
    assert data_list.items()[0]["image"] == "/data/Task03_Liver/imagesTr/a.nii.gz"
    assert data_list.datasets[0].root == Path("/data/Task03_Liver")


def test_root_may_begin_with_a_dot(tmp_path):
    data_list = load_data_list(save(tmp_path, minimal(root="./.hidden/")), data_root="/data")
    assert data_list.datasets[0].root == Path("/data/.hidden")


def test_label_map_has_integers(tmp_path):
    data_list = load_data_list(save(tmp_path, minimal(label_map={"5": 1})))
    assert data_list.datasets[0].label_map == {5: 1}
    assert data_list.items()[0]["label_map"] == {5: 1}
    assert data_list.labels == {0: "background", 1: "liver"}


def test_changing_an_item_does_not_change_the_list(tmp_path):
    data_list = load_data_list(save(tmp_path, minimal()))
    data_list.items()[0]["image"] = "elsewhere"
    assert data_list.items()[0]["image"] != "elsewhere"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("imagesTr/liver_0.nii.gz", "liver_0"),
        ("a/b.NRRD", "b"),
        ("dicom/1.2.840.113", "1.2.840.113"),
        ("x.y.mha", "x.y"),
        ("./deep/folder/", "folder"),
    ],
)
def test_id_is_the_file_name_without_its_ending(tmp_path, image, expected):
    (item,) = load_data_list(save(tmp_path, minimal(training=[{"image": image}]))).items()
    assert item["id"] == item["patient"] == expected


def test_ids_take_folders_where_file_names_repeat(tmp_path):
    items = [{"image": f"case_{i}/imaging.nii.gz"} for i in range(2)]
    data_list = load_data_list(save(tmp_path, minimal(training=items)))
    assert [item["id"] for item in data_list.items()] == ["case_0_imaging", "case_1_imaging"]


def test_decathlon_description_loads_as_it_is(tmp_path):
    document = {
        "name": "Spleen",
        "description": "Spleen Segmentation",
        "reference": "Memorial Sloan Kettering Cancer Center",
        "licence": "CC-BY-SA 4.0",
        "release": "1.0 06/08/2018",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "spleen"},
        "numTraining": 1,
        "numTest": 1,
        "training": [{"image": "./imagesTr/spleen_19.nii.gz", "label": "./labelsTr/spleen_19.nii.gz"}],
        "test": ["./imagesTs/spleen_1.nii.gz"],
    }
    data_list = load_data_list(save(tmp_path, document, "dataset.json"))
    assert data_list.items()[0]["image"] == str(tmp_path / "imagesTr" / "spleen_19.nii.gz")
    assert [item["id"] for item in data_list.items("test")] == ["spleen_1"]


def test_byte_order_mark_is_accepted(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps(minimal()), encoding="utf-8-sig")
    assert load_data_list(path).name == "small"


def test_outside_paths_load_when_allowed(tmp_path):
    items = [{"image": "/elsewhere/a.nii.gz"}, {"image": "../b.nii.gz"}]
    data_list = load_data_list(save(tmp_path, minimal(training=items)), data_root="/data", allow_outside=True)
    assert [item["image"] for item in data_list.items()] == ["/elsewhere/a.nii.gz", "/b.nii.gz"]


def test_combined_list_keeps_data_sets_apart(tmp_path):
    save(tmp_path, minimal(root="inner"), "lists/one.json")
    second = minimal(name="two", labels={"0": "background", "1": "kidney"})
    document = {"name": "both", "datasets": [{"list": "one.json", "root": "outer", "name": "renamed"}, second]}
    data_list = load_data_list(save(tmp_path, document, "lists/both.json"), data_root="/data")
    assert [dataset.name for dataset in data_list.datasets] == ["renamed", "two"]
    assert [item["dataset"] for item in data_list.items()] == ["renamed", "two"]
    assert data_list.items(dataset="renamed")[0]["image"] == "/data/outer/inner/imagesTr/a.nii.gz"
    assert data_list.dataset("two").labels == {0: "background", 1: "kidney"}
    with pytest.raises(UserError, match=r"expected one data set, found 2 \(renamed, two\)"):
        _ = data_list.labels
    with pytest.raises(UserError, match="no data set 'three'; it has renamed, two"):
        data_list.items(dataset="three")


def test_list_may_be_included_twice_under_two_roots(tmp_path):
    save(tmp_path, minimal(), "one.json")
    entries = [{"list": "one.json", "root": f"site_{i}", "name": f"site_{i}"} for i in range(2)]
    data_list = load_data_list(save(tmp_path, {"name": "both", "datasets": entries}))
    assert len(data_list.items()) == 2


def test_included_combined_list_is_unrolled(tmp_path):
    save(tmp_path, minimal(), "one.json")
    save(tmp_path, {"name": "inner", "root": "b", "datasets": [{"list": "one.json", "root": "c"}]}, "inner.json")
    outer = {"name": "outer", "datasets": [{"list": "inner.json", "root": "a", "name": "mine"}]}
    data_list = load_data_list(save(tmp_path, outer), data_root="/data")
    assert data_list.datasets[0].root == Path("/data/a/b/c")
    assert data_list.datasets[0].name == "mine"


def test_hash_is_of_the_content_and_of_included_lists(tmp_path):
    save(tmp_path, minimal(), "one.json")
    path = save(tmp_path, {"name": "outer", "datasets": [{"list": "one.json"}]})
    first = load_data_list(path).sha256
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=8), encoding="utf-8")
    assert load_data_list(path).sha256 == first
    save(tmp_path, minimal(labels={"0": "background", "1": "spleen"}), "one.json")
    assert load_data_list(path).sha256 != first


def test_unknown_split_is_refused(tmp_path):
    with pytest.raises(UserError, match="split must be one of training, validation, test, got 'train'"):
        load_data_list(save(tmp_path, minimal())).items("train")


def test_reading_imports_neither_torch_nor_monai():
    code = (
        "import sys, monai_cl.data.datalist.loading as d\n"
        "import monai_cl.data.datalist.folds, monai_cl.data.datalist.validation\n"
        f"d.load_data_list({str(LISTS / 'btcv.json')!r})\n"
        "print([name for name in ('torch', 'monai', 'nibabel', 'SimpleITK') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert result.stdout.strip() == "[]"


def test_time_to_load_grows_with_the_items_not_with_their_square(tmp_path):
    items = [
        {"image": f"i/{i}.nii.gz", "label": f"l/{i}.nii.gz", "fold": i % 5, "patient": f"{i}"} for i in range(1000)
    ]
    many, few = (save(tmp_path, minimal(training=items[:n]), f"{n}.json") for n in (1000, 250))
    assert len(load_data_list(many).items()) == 1000
    assert ratio(lambda: load_data_list(many), lambda: load_data_list(few)) < 8, "four times as many items"


# --- the shipped lists


@pytest.mark.parametrize(("name", "count"), CASES.items())
def test_shipped_list_loads_with_its_cases(name, count):
    data_list = load_data_list(LISTS / f"{name}.json")
    assert data_list.name == name
    items = data_list.items()
    assert len(items) == len({(item["dataset"], item["patient"]) for item in items}) == count
    assert all("label" in item or "target" in item for item in items)


def test_every_shipped_list_is_tested_and_follows_the_schema():
    schema = json.loads((LISTS / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    files = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in LISTS.glob("*.json")}
    assert files.keys() - {"schema"} == CASES.keys()
    for name in CASES:
        jsonschema.validate(files[name], schema)
        assert files[name]["$schema"] == "schema.json"
        assert "datasets" in files[name] or (files[name]["licence"] and files[name]["source"])


def test_schema_beside_the_lists_is_the_one_in_the_package():
    assert (LISTS / "schema.json").read_bytes() == SCHEMA_FILE.read_bytes(), (
        f"copy {SCHEMA_FILE} over data_lists/schema.json"
    )


def test_pretraining_list_has_the_papers_765_scans():
    data_list = load_data_list(LISTS / "mixcl_pretraining.json", data_root="/data")
    counts = {dataset.name: len(dataset.splits["training"]) for dataset in data_list.datasets}
    assert counts == {"msd_liver": 131, "msd_lung": 63, "msd_pancreas": 281, "kits19": 210, "nih_pancreas_ct": 80}
    nih = {item["patient"] for item in data_list.items(dataset="nih_pancreas_ct")}
    assert nih == {f"PANCREAS_{i:04d}" for i in range(1, 83)} - {"PANCREAS_0025", "PANCREAS_0070"}
    assert data_list.items(dataset="kits19")[0]["image"] == "/data/kits19/data/case_00000/imaging.nii.gz"
    assert data_list.items(dataset="kits19")[0]["id"] == "case_00000"


@pytest.mark.parametrize(("name", "sizes"), [("btcv", [6, 6, 6, 6, 6]), ("msd_spleen", [9, 8, 8, 8, 8])])
def test_fine_tuning_lists_have_five_folds(name, sizes):
    folds = [item["fold"] for item in load_data_list(LISTS / f"{name}.json").items()]
    assert [folds.count(fold) for fold in range(5)] == sizes


def test_organ_names_are_written_out():
    labels = load_data_list(LISTS / "btcv.json").labels
    assert labels[2] == "right kidney"
    assert labels[3] == "left kidney"
    assert labels[12] == "right adrenal gland"
    assert len(labels) == 14


# --- writing


def test_written_list_reads_back_and_has_a_line_an_item(tmp_path):
    document = minimal(training=[{"image": f"{i}.nii.gz", "meta": {"a": [1]}} for i in range(3)])
    path = write_json(tmp_path / "new" / "list.json", document)
    assert json.loads(path.read_text(encoding="utf-8")) == document
    assert list(path.parent.iterdir()) == [path]


def test_existing_file_is_kept_unless_overwritten(tmp_path):
    path = write_json(tmp_path / "a.json", {"first": 1})
    with pytest.raises(UserError, match=r"a\.json: exists already and is kept.*--overwrite"):
        write_json(path, {"second": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"first": 1}
    write_json(path, {"second": 2}, overwrite=True)
    assert json.loads(path.read_text(encoding="utf-8")) == {"second": 2}


def test_writing_fails_in_words(tmp_path):
    with pytest.raises(UserError, match="found a folder"):
        write_json(tmp_path, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_json(tmp_path / "file" / "a.json", {})


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_json(tmp_path / "a.json", {"first": 1})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(UserError, match="No space left"):
        write_json(path, {"second": 2}, overwrite=True)
    assert json.loads(path.read_text(encoding="utf-8")) == {"first": 1}
    assert list(tmp_path.iterdir()) == [path]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_format_json_is_json(value):
    assert json.loads(format_json(value)) == value


@settings(deadline=None, max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(["name", "labels", "label_map", "training", "test", "datasets", "root", "targets", "numTest"]),
        json_values
        | st.lists(
            st.dictionaries(st.sampled_from(["image", "label", "fold", "patient", "id", "list"]), json_values),
            max_size=3,
        ),
    )
)
def test_any_json_either_loads_or_is_a_user_error(tmp_path_factory, document):
    path = tmp_path_factory.mktemp("any") / "list.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with contextlib.suppress(UserError):
        load_data_list(path)


def test_two_acquisitions_of_one_series_are_two_scans_of_one_patient(tmp_path):
    parts = [f"AcquisitionNumber={number}" for number in (1, 2)]
    content = {**minimal(), "training": [{"image": "a/scan", "series_part": part} for part in parts]}
    content["training"].append({"image": "a/other"})
    items = load_data_list(save(tmp_path, content)).items()
    assert [item["id"] for item in items] == [*(f"scan_{part}" for part in parts), "other"]
    assert [item["patient"] for item in items] == ["scan_AcquisitionNumber=1"] * 2 + ["other"]
    content["training"][1]["series_part"] = parts[0]
    with pytest.raises(UserError, match="every image once"):
        load_data_list(save(tmp_path, content))
