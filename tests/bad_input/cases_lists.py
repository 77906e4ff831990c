"""Data lists that are not JSON, not a list, or contradict themselves."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_cl.data import load_data_list
from tests.bad_input.case import Case
from tests.bad_input.world import AFFINE, Maker, World, document, item, text, unspoilt
from tests.data.volume_files import ct_array, write_itk, write_nifti

_row = partial(Case, "lists")

LIST = ("datalist validate", "datalist summary", "prepare")
AGAINST = ("datalist validate --against",)


def _raw(content: bytes) -> Maker:
    return text(lambda _: content)


def _entry(*changes) -> Maker:
    """The first three items with these changes each."""

    def make(world: World) -> None:
        for entry, change in zip(world.document["training"], changes):
            entry.update(change)

    return make


def _link(world: World) -> None:
    world.image.rename(world.root.parent / "elsewhere.nii.gz")
    world.image.symlink_to(world.root.parent / "elsewhere.nii.gz")


def _again(world: World) -> None:
    world.document["training"].append(dict(world.bad))


def _copy(world: World) -> None:
    (world.root / "copy.nii.gz").write_bytes(world.image.read_bytes())
    world.document["training"].append({"image": "copy.nii.gz", "patient": "copy"})


def _circle(world: World) -> None:
    world.document = {"name": "a", "datasets": [{"list": "b.json"}]}
    (world.root / "b.json").write_text('{"name": "b", "datasets": [{"list": "list.json"}]}')


def _outside(world: World) -> None:
    (world.root.parent / "other.json").write_text(json.dumps(world.document))
    world.document = {"name": "a", "datasets": [{"list": "../other.json"}]}


def _other_list(*items: dict, name: str = "other") -> Maker:
    """Another list beside this one; an image ``again.mha`` is the bad scan."""

    def make(world: World) -> None:
        scan = nib.load(world.image)
        write_itk(world.root / "again.mha", np.asarray(scan.dataobj), scan.affine)
        write_nifti(world.root / "later.nii.gz", ct_array(seed=9), AFFINE)
        (world.root / "pretraining.json").write_text(json.dumps({"name": name, "training": list(items)}))

    return make


def _check_read(world: World) -> None:
    assert [entry["id"] for entry in load_data_list(world.list_file()).items()] == ["good", "fine", "bad"]


def _check_literal(world: World) -> None:
    assert load_data_list(world.list_file()).items()[2]["patient"] == EXPRESSION
    assert not Path("ran").exists()
    assert not (world.root / "ran").exists()


EXPRESSION = "$open('ran', 'w')"

LISTS = [
    _row(
        "a list that is not there",
        LIST,
        lambda world: setattr(world, "list_name", "gone/list.json") or None,
        ("gone/list.json", "no such file", "does not exist either"),
    ),
    _row("an empty list file", LIST, _raw(b" \n"), ("list.json", "expected JSON", "found an empty file")),
    _row(
        "a list cut in the middle",
        LIST,
        text(lambda whole: whole[: len(whole) // 2]),
        ("list.json", "not JSON at line", "is it complete?"),
    ),
    _row(
        "one bit changed in a key of the list",
        LIST,
        text(lambda whole: whole.replace('"training"', '"traininc"')),
        ("list.json", '"traininc"', 'is "traininc" meant?'),
        problems=2,
    ),
    _row(
        "a web page saved as the list",
        LIST,
        _raw(b"<!DOCTYPE html><title>404</title>"),
        ("list.json", "not JSON at line 1", "is this a web page"),
    ),
    _row(
        "an image given as the list",
        LIST,
        lambda world: setattr(world, "list_name", "bad.nii.gz"),
        ("bad.nii.gz", "found a gzip file", "is this an image instead of the list?"),
    ),
    _row(
        "a comment in the list",
        LIST,
        text(lambda whole: "// mine\n" + whole),
        ("list.json", "JSON has no comments", "remove it"),
    ),
    _row(
        "a comma too many",
        LIST,
        text(lambda whole: whole.rstrip()[:-1] + ",}"),
        ("list.json", "a comma before the closing bracket", "remove the comma"),
    ),
    _row(
        "single quotes",
        LIST,
        text(lambda whole: whole.replace('"', "'")),
        ("list.json", "a single quote", "JSON strings need double quotes"),
    ),
    _row(
        "a key twice in one object",
        LIST,
        text(lambda whole: '{"name": "twice",' + whole.lstrip()[1:]),
        ("list.json", 'the key "name" appears twice', "remove one"),
    ),
    _row(
        "NaN for a number",
        LIST,
        text(lambda whole: whole.replace('"target": 0', '"target": NaN', 1)),
        ("list.json", "not JSON", "NaN is not a JSON number"),
    ),
    _row("endless nesting", LIST, _raw(b"[" * 100_000), ("list.json", "nested too deeply", "to be a data list")),
    _row(
        "a byte-order mark before the list",
        LIST,
        text(lambda whole: b"\xef\xbb\xbf" + whole.encode()),
        repair="passed over",
        check=_check_read,
        sound=unspoilt,
    ),
    _row(
        "a list in UTF-16",
        LIST,
        text(lambda whole: whole.encode("utf-16")),
        ("list.json", "expected UTF-8 text, found UTF-16", "save it again as UTF-8"),
    ),
    _row(
        "a list in Latin-1",
        LIST,
        text(lambda whole: whole.replace("small", "Zürich").encode("latin-1")),
        ("list.json", "the byte 0xfc", "save it again as UTF-8"),
    ),
    _row("a misspelt key", LIST, document(lables={}), ("list.json", '"lables"', 'did you mean "labels"?')),
    _row(
        "a key of an item that nobody knows",
        LIST,
        item({"phase": "portal"}),
        ("training[2]", '"phase"', 'keep it under "meta"'),
    ),
    _row(
        "names to ids, nnU-Net's way round",
        LIST,
        document(labels={"background": 0, "liver": 1}),
        ("labels", "name -> id", "swap them"),
    ),
    _row(
        "labels without a background",
        LIST,
        document(labels={"1": "liver", "2": "spleen", "5": "pancreas"}),
        ("labels", '"0": "background"', "found the ids 1, 2, 5"),
    ),
    _row(
        "no names for the labels",
        LIST,
        document(labels=None),
        ("list.json", 'the key "labels"', "items have labels"),
    ),
    _row(
        "nnU-Net's reserved word ignore among the organs",
        LIST,
        document(labels={"0": "background", "1": "liver", "2": "spleen", "5": "ignore"}),
        ("labels.5", "the name of an organ", "voxels that were not annotated", 'give its value under "ignore"'),
    ),
    _row(
        "a value that is an organ and ignored",
        LIST,
        document(ignore=5),
        ("ignore", "a value that means no organ", "found 5"),
    ),
    _row(
        "one mask file per organ in an item",
        LIST,
        lambda world: world.bad.update(label={"liver": "liver.nii.gz", "spleen": "spleen.nii.gz"}),
        ("training[2].label", "datalist merge_masks"),
    ),
    _row(
        "a label map to an id that is not declared",
        LIST,
        document(label_map={"1": 9}),
        ("label_map.1", "one of the ids of labels (0, 1, 2, 5)", "found 9"),
    ),
    _row(
        "no item at all",
        ("datalist validate", "datalist summary", "prepare"),
        document(training=[]),
        ("list.json", "at least one item", "found none"),
    ),
    _row(
        "a scan that is not there",
        ("datalist validate", "prepare"),
        item({"image": "bda.nii.gz", "id": "bad"}),
        ("bda.nii.gz", "found nothing", "bda.nii.gz"),
    ),
    _row(
        "a label that is not there",
        ("datalist validate", "prepare"),
        item({"label": "gone.nii.gz"}),
        ("gone.nii.gz", "found nothing", "gone.nii.gz"),
    ),
    _row(
        "a scan twice",
        LIST,
        _again,
        ("training[3].image", "every image once", "the one of training[2] again", "remove one of the two"),
    ),
    _row(
        "one scan under two names",
        ("datalist validate",),
        _copy,
        ("copy.nii.gz", "every image once", "the content of training[2].image", "remove one of the two"),
    ),
    _row(
        "a patient in two folds",
        LIST,
        _entry({"fold": 0}, {"fold": 1}, {"fold": 2, "patient": "good"}),
        ("training[2]", 'patient "good" in fold 0 only', "keep the scans of a patient together"),
    ),
    _row(
        "one patient in two spellings (case, blanks)",
        LIST,
        _entry({}, {"patient": "P 1"}, {"patient": "p 1 "}),
        ("training[2].patient", 'one spelling of a patient, "P 1" as at training[1]', "write it in one way"),
    ),
    _row(
        "a patient in training and validation",
        LIST,
        lambda world: document(validation=[{**world.document["training"].pop(), "patient": "good"}])(world),
        ("validation[0]", 'patient "good" in training only', "keep the scans of a patient together"),
    ),
    _row(
        "a patient in training and in the test set",
        LIST,
        lambda world: document(test=[{**world.document["training"].pop(), "patient": "good"}])(world),
        ("test[0]", 'patient "good" in training only', "take those in training out, so that the test set stays whole"),
    ),
    _row(
        "a scan in training and in the test set",
        LIST,
        lambda world: document(test=[dict(world.bad)])(world),
        ("test[0].image", "every image once", "remove training[2], so that the test set keeps its scans"),
        problems=2,
    ),
    _row(
        "a fold in some items only",
        LIST,
        _entry({"fold": 0}, {"fold": 1}),
        ("training[2]", "a fold in every training item or in none", "1 of 3 items have none"),
    ),
    _row(
        "a fold in quotes",
        LIST,
        _entry({"fold": 0}, {"fold": 1}, {"fold": "2"}),
        ("training[2].fold", "expected an integer", "leave out the quotes"),
    ),
    _row(
        "a patient with two targets",
        LIST,
        _entry({}, {}, {"patient": "good", "target": 1}),
        ("training[2].target", 'target 0 for patient "good"', "bad.nii.gz"),
    ),
    _row(
        "an absolute path",
        LIST,
        item({"image": "/etc/passwd"}),
        ("training[2].image", "the absolute path '/etc/passwd'", "--allow_outside True"),
    ),
    _row(
        "a path that leaves the root by ..",
        LIST,
        item({"label": "../x/../../secret.nii.gz"}),
        ("training[2].label", "leaves it through '..'", "--allow_outside True"),
    ),
    _row(
        "a link that leaves the root",
        LIST,
        _link,
        ("training[2].image", "a symbolic link to", "--allow_outside True"),
    ),
    _row(
        "an included list outside the folder",
        LIST,
        _outside,
        ("datasets[0].list", "a list in or below the folder of this one", "--allow_outside True"),
    ),
    _row(
        "backslashes in a path",
        LIST,
        item({"image": "ct\\bad.nii.gz"}),
        ("training[2].image", "with backslashes", "write it with forward slashes"),
    ),
    _row(
        "lists that include one another",
        LIST,
        _circle,
        ("datasets[0].list", "do not include one another", "the circle list.json -> b.json -> list.json"),
    ),
    _row(
        "an expression of a config in a list",
        LIST,
        item({"patient": EXPRESSION}),
        repair="text like any other; nothing in a list is evaluated",
        check=_check_literal,
        sound=unspoilt,
    ),
    _row(
        "a scan that the list of the pre-training holds too, in another format and under another name",
        AGAINST,
        _other_list({"image": "again.mha", "patient": "someone"}),
        (
            "training[2].image: bad.nii.gz",
            "pretraining.json does not hold",
            "again.mha",
            "take it out of one of the two",
        ),
    ),
    _row(
        "another scan of a patient of whom the list of the pre-training holds one",
        AGAINST,
        _other_list({"image": "later.nii.gz", "patient": "bad"}),
        ("training[2].image: bad.nii.gz", 'patient "bad"', "later.nii.gz", "take it out of one of the two"),
    ),
    _row(
        "a list to compare with whose scans are elsewhere",
        AGAINST,
        _other_list({"image": "gone.nii.gz"}),
        ("pretraining.json: training[0].image: gone.nii.gz", "--against_root"),
    ),
]
