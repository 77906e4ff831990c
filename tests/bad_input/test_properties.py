"""Of the data-list reader and the store, what holds for any input."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monai_cl.data import Preparation, VolumeStore
from monai_cl.data.datalist.json_files import format_json
from monai_cl.data.datalist.loading import check_data_list, load_data_list
from monai_cl.errors import UserError
from tests.data.volume_files import write_nifti

# examples share their folder, which each of them overwrites; times say nothing on a busy machine
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
# of what file names can be written in here
LETTERS = st.characters(codec=sys.getfilesystemencoding(), exclude_characters="/\\\0", exclude_categories=("Cs",))
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(
    lambda name: name.strip() and name not in (".", "..") and not name.startswith(("~", "/")) and name[1:2] != ":"
)


@st.composite
def sound_lists(draw) -> dict:
    """A data list as it should be: scans of distinct names, patients in one fold each."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique_by=str.casefold))
    organs = draw(st.lists(NAMES, max_size=3, unique_by=lambda name: name.strip().lower()))
    labels = {"0": "background"} | {str(n): organ for n, organ in enumerate(organs, 1) if organ.lower() != "background"}
    folder = draw(st.sampled_from(["", "ct/", "a/b/"]))
    items = [
        {
            "image": f"{folder}{name}.nii.gz",
            "label": f"seg/{name}.nii.gz",
            "id": f"id{number}",
            "patient": f"P{number // 2}",
            "fold": number // 2,
            "target": (number // 2) % 2,
        }
        for number, name in enumerate(names)
    ]
    return {"name": draw(NAMES), "labels": labels, "training": items}


def save(folder: Path, content: bytes | dict) -> Path:
    path = folder / "list.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode("utf-8", "surrogatepass"))
    return path


def _names(error: UserError, file: Path) -> None:
    assert str(file) in str(error)


@FEW
@given(document=sound_lists())
def test_a_sound_list_gives_its_items_and_survives_its_own_writing(tmp_path_factory, document):
    folder = tmp_path_factory.getbasetemp()
    first = load_data_list(save(folder, document))
    assert [item["id"] for item in first.items()] == [item["id"] for item in document["training"]]
    for item, raw in zip(first.items(), document["training"], strict=True):
        assert item["image"] == os.path.join(folder, raw["image"])
        assert {key: item[key] for key in ("patient", "fold", "target")} == {
            key: raw[key] for key in ("patient", "fold", "target")
        }
    again = load_data_list(save(folder, format_json(document).encode()))
    assert again == first


@FEW
@given(document=sound_lists(), data=st.data())
def test_any_value_in_a_list_is_accepted_or_reported_with_that_file(tmp_path_factory, document, data):
    place = document
    path: list = []
    for _ in range(data.draw(st.integers(1, 3))):
        if not isinstance(place, dict | list) or not place:
            break
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        path.append(key)
        inner, place = place, place[key]
    inner[path[-1]] = data.draw(JSON | st.sampled_from(["../x", "/etc/passwd", "$1", "", "a\0b", -1, 10**30, True]))
    file = save(tmp_path_factory.getbasetemp(), document)
    try:
        found, problems = check_data_list(file)
    except UserError as error:
        _names(error, file)
        return
    assert all("expected" in str(problem) and problem.list == str(file) for problem in problems)
    if problems:
        with pytest.raises(UserError, match="data list"):
            load_data_list(file)
        # what is kept beside the problems is valid by itself
    for item in found.items() if found else []:
        assert os.path.commonpath([str(file.parent), item["image"]]) == str(file.parent)
    if not problems:
        items = found.items()
        assert len({item["id"] for item in items}) == len({item["image"] for item in items}) == len(items)
        folds = {(item["patient"], item["fold"]) for item in items}
        assert len(folds) == len({patient for patient, _ in folds})


@FEW
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_list_or_a_user_error_that_names_the_file(tmp_path_factory, content):
    file = save(tmp_path_factory.getbasetemp(), content)
    try:
        load_data_list(file)
    except UserError as error:
        _names(error, file)


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, tuple[VolumeStore, str, np.ndarray, np.ndarray]]:
    """A prepared volume in each layout, with what must be in it."""
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(0)
    image = rng.integers(-1000, 1500, (37, 29, 41)).astype(np.int16)
    label = rng.integers(0, 4, image.shape).astype(np.uint8)
    write_nifti(folder / "ct.nii.gz", image)
    write_nifti(folder / "seg.nii.gz", label)
    item = {"image": str(folder / "ct.nii.gz"), "label": str(folder / "seg.nii.gz"), "dataset": "a", "id": "ct"}
    made = {}
    for layout in ("volume", "slices"):
        store = VolumeStore.create(folder / layout, Preparation(None, layout))
        made[layout] = (store, store.add(item), image, label)
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    layout=st.sampled_from(["volume", "slices"]),
    kind=st.sampled_from(["image", "label"]),
    start=st.tuples(*[st.integers(-50, 60)] * 3),
    size=st.tuples(*[st.integers(1, 45)] * 3),
)
def test_any_patch_is_that_of_the_volume_with_air_around(stores, layout, kind, start, size):
    store, key, image, label = stores[layout]
    whole = np.pad(image if kind == "image" else label, 110, constant_values=-1024 if kind == "image" else 0)
    expected = whole[tuple(slice(first + 110, first + 110 + length) for first, length in zip(start, size))]
    np.testing.assert_array_equal(store.read_patch(key, start, size, kind=kind), expected)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    layout=st.sampled_from(["volume", "slices"]),
    name=st.sampled_from(["image.b2nd", "label.b2nd", "coordinates.npz", "entry.json"]),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    cut=st.booleans(),
)
def test_any_damage_to_an_entry_is_found_and_repaired(stores, tmp_path_factory, layout, name, where, bit, cut):
    source, key, image, label = stores[layout]
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(source.root, folder / "store")
    store = VolumeStore.open(folder / "store")
    path = store.root / key / name
    raw = bytearray(path.read_bytes())
    place = int(where * len(raw))
    raw[place] ^= 1 << bit
    path.write_bytes(raw[:place] if cut else raw)
    found = store.verify()
    # JSON does not mean every byte: an additional or missing blank is not damage
    harmless = name == "entry.json" and not cut and not found
    assert harmless or (len(found) == 1 and key in found[0]), found
    store.repair()
    if name == "entry.json" and not harmless:
        assert not (store.root / key).exists()  # its source is unknown; it is prepared again
    else:
        np.testing.assert_array_equal(store.read(key), image)
        np.testing.assert_array_equal(store.read(key, kind="label"), label)
    assert store.verify() == []
    shutil.rmtree(folder)
