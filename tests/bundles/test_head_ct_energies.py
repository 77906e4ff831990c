"""Pre-training on head CT with other energies of frequency bands: the command's file, a run with it, files refused."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_cl.data import read_energy_reference
from monai_cl.engines import list_boxes, read_list
from monai_cl.errors import UserError
from monai_cl.transforms import spectrum
from tests.bad_input.doors import command
from tests.bundles.head_runs import BOX, CLUSTERING
from tests.bundles.workflow import assert_equal, refusal, weights

BOX_WORDS = ("--box_size", ",".join(map(str, BOX)))


@pytest.fixture(scope="module")
def many(heads) -> Path:
    """A list with 20 of the scans to train on, one to validate and one to test."""
    document = json.loads((heads / "head_ct.json").read_text())
    bare = json.loads((heads / "head_ct_pretraining.json").read_text())["training"]
    items = [*bare, *(item for part in ("training", "validation", "test") for item in document.pop(part))]
    document |= {"training": items[:20], "validation": items[20:21], "test": items[21:]}
    (heads / "many.json").write_text(json.dumps(document))
    return heads / "many.json"


def measured(data_list: Path, output: Path, *words: object) -> Path:
    store = data_list.parent.parent / "store"
    outcome = command("reference_energy", data_list, "--output", output, "--store", store, *words)
    assert outcome.error is None, outcome.error
    return output


@pytest.fixture(scope="module")
def energies(many, tmp_path_factory) -> Path:
    """The reference of boxes of the runs' size."""
    return measured(many, tmp_path_factory.mktemp("energies") / "energy.json", *BOX_WORDS)


def test_the_file_holds_energies_of_whole_boxes_of_the_training_part(energies, many, heads):
    content = json.loads(energies.read_text())
    assert content["preparation"] == {"box_size": BOX, "find_head": True, "window": [-45.0, 155.0]}
    assert content["sigmas"] == [1, 2, 4, 8]
    assert content["modalities"]["CT"]["images"] == 20
    boxes = list_boxes(read_list(many), store=heads.parent / "store", size=BOX)
    assert len(boxes) == 20
    each = torch.stack([spectrum(boxes[i]["image"][0].double(), (1, 2, 4, 8)).energies for i in range(20)])
    np.testing.assert_allclose(content["modalities"]["CT"]["mean"], each.mean(dim=0).numpy())
    np.testing.assert_allclose(content["modalities"]["CT"]["std"], each.std(dim=0, correction=0).numpy())
    found = read_energy_reference(energies, modalities=["CT"], size=BOX, window=(-45, 155), find_head=True)
    assert found.size == tuple(BOX)


def test_a_run_draws_from_the_file_and_a_resumed_one_is_the_same(head_run, head_pretrained, energies, tmp_path):
    options = {"energy": str(energies), **CLUSTERING}
    head_run("train", "pretrain", output_dir=str(tmp_path / "whole"), **options)
    assert not torch.equal(
        weights(tmp_path / "whole")["prototypes.weight"], weights(head_pretrained)["prototypes.weight"]
    )
    more = {"output_dir": str(tmp_path / "halves"), **options}
    head_run("train", "pretrain", **more, **{"train#trainer#max_epochs": 1})
    assert not (tmp_path / "halves" / "checkpoint_iteration=4.pt").exists()
    head_run("train", "pretrain", **more)
    assert_equal(weights(tmp_path / "halves"), weights(tmp_path / "whole"))


def test_a_probability_of_zero_is_a_run_without_energies(head_run, head_pretrained, energies, tmp_path):
    head_run("train", "pretrain", output_dir=str(tmp_path), energy=str(energies), energy_probability=0.0, **CLUSTERING)
    assert_equal(weights(tmp_path), weights(head_pretrained))


def edited(source: Path, target: Path, **preparation: object) -> Path:
    content = json.loads(source.read_text())
    content["preparation"] |= preparation
    target.write_text(json.dumps(content))
    return target


def test_a_wrong_file_is_refused_before_a_scan_is_prepared(head_run, many, energies, tmp_path):
    wrong = {
        "gone.json: expected a reference file of energies, found no such file": tmp_path / "gone.json",
        "expected energies of 3-D boxes, found those of 2-D slices": measured(
            many, tmp_path / "flat.json", "--image_size", 32
        ),
        r"expected energies of boxes with box_size \[4, 32, 32\], found \[8, 32, 32\]": edited(
            energies, tmp_path / "size.json", box_size=[8, 32, 32]
        ),
        "expected energies of boxes with find_head True, found False": edited(
            energies, tmp_path / "found.json", find_head=False
        ),
        r"expected energies of boxes with window \[-45.0, 155.0\], found \[0.0, 80.0\]": edited(
            energies, tmp_path / "window.json", window=[0.0, 80.0]
        ),
    }
    for message, file in wrong.items():
        where = {"output_dir": str(tmp_path / "run"), "store_dir": str(tmp_path / "store")}
        with pytest.raises(RuntimeError) as caught:
            head_run("train", "pretrain", **where, energy=str(file), **CLUSTERING)
        assert re.search(message, refusal(caught))
        assert not (tmp_path / "run").exists()
        assert not (tmp_path / "store").exists()


def test_what_the_refusal_says_makes_the_file_that_is_taken(head_run, many, energies, tmp_path):
    other = edited(energies, tmp_path / "energy.json", box_size=[8, 32, 32])
    before = other.read_bytes()
    options = {"data_list": str(many), "window": [-45.0, 100.0], "find_head": False, "iterations": 2, **CLUSTERING}
    options |= {"output_dir": str(tmp_path / "run"), "store_dir": str(tmp_path / "store")}
    with pytest.raises(RuntimeError) as caught:
        head_run("train", "pretrain", energy=str(other), **options)
    line, made = re.search("make one with `python -m monai_cl (.*)` and pass --energy (.*)$", refusal(caught)).groups()
    outcome = command(*shlex.split(line))
    assert outcome.error is None, outcome.error
    assert other.read_bytes() == before
    head_run("train", "pretrain", energy=made, **options)
    assert (tmp_path / "run" / "model.pt").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*BOX_WORDS, "--image_size", 96), "no option of 2-D images beside it, found --image_size; leave --image_size"),
        (("--find_head", "False"), "--find_head: expected --box_size beside it, found none"),
        (("--box_size", "20,56"), "--box_size: expected numbers such as 40,224,192, found (20, 56)"),
        (("--box_size", "20,56,4.5"), "found (20, 56, 4.5)"),
        ((*BOX_WORDS, "--window", 100), "--window: expected numbers such as -160,240, found 100"),
    ],
)
def test_options_that_do_not_go_together_are_refused(many, words, message, tmp_path):
    outcome = command("reference_energy", many, "--output", tmp_path / "e.json", *words)
    assert message in str(outcome.error)
    assert not (tmp_path / "e.json").exists()


def test_too_few_boxes_are_refused(heads, tmp_path):
    outcome = command("reference_energy", heads / "head_ct.json", "--store", heads.parent / "store", *BOX_WORDS)
    assert "modality CT: expected 20 training images or more, found 6; add images" in str(outcome.error)
    assert "--modalities" not in str(outcome.error)


def test_boxes_are_of_what_the_list_does_not_call_another_modality(many, tmp_path):
    document = json.loads(many.read_text()) | {"modality": "MR"}
    (many.parent / "mr.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"expected CT alone, .*found modality MR of \w+; correct it"):
        list_boxes(read_list(many.parent / "mr.json"), store=tmp_path / "store", size=BOX)
    assert not (tmp_path / "store").exists()
