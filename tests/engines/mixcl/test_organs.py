"""Organs of several data sets by name: what meets in the bank, what is left out, and a list in which nothing meets."""

from __future__ import annotations

import json
import logging

import pytest
import torch

from monai_cl.engines import bank_organs, read_list
from monai_cl.errors import UserError
from monai_cl.losses import OrganBank


def listed(folder, *organs: dict[int, str], labelled: bool = True):
    """A list of data sets with these organs; none of its files exists."""
    datasets = []
    for n, own in enumerate(organs):
        item = {"image": f"{n}_image.nii.gz", **({"label": f"{n}_label.nii.gz"} if labelled else {})}
        labels = {"0": "background", **{str(label): name for label, name in own.items()}}
        datasets.append({"name": f"set {n}", "labels": labels, "training": [item]})
    (folder / "list.json").write_text(json.dumps({"name": "several", "datasets": datasets}))
    return read_list(folder / "list.json", data_root="")


def test_names_that_mean_one_organ_meet_in_one_row_of_the_bank(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    sets = ({1: "Pancreas", 2: "kidney_left"}, {1: "pancreas", 2: "Left Kidney", 3: "liver"}, {5: "hepatic lesion"})
    organs = bank_organs(listed(tmp_path, *sets))
    assert organs.labels == [
        {1: "pancreas", 2: "left kidney"},
        {1: "pancreas", 2: "left kidney", 3: "liver"},
        {5: "liver tumour"},
    ]
    assert organs.overlapping == [("liver", "liver tumour")]
    assert "pancreas is compared between set 0, set 1" in caplog.text
    bank = OrganBank(organs=organs, length=2)
    z = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0))
    bank(z, torch.tensor([[2], [2]]), torch.tensor([0, 1]))  # the kidney of both
    bank.after_step()
    row = organs.names.index("left kidney")
    assert bank.datasets[row].tolist() == [0, 1]
    assert (bank.datasets >= 0).sum() == 2
    bank(z, torch.tensor([[1], [3]]), torch.tensor([1, 1]))  # pancreas and liver, which the bank has not met
    assert bank.diagnostics["bank_positive_share"] == 0
    bank(z, torch.tensor([[2], [2]]), torch.tensor([1, 0]))
    assert bank.diagnostics["bank_positive_share"] == 1


def test_made_up_names_and_tumours_of_no_organ_are_left_out(tmp_path, caplog):
    sets = ({1: "label 1", 2: "cancer", 3: "spleen"}, {1: "Label_1", 2: "cancer", 3: "spleen", 4: "liver"})
    organs = bank_organs(listed(tmp_path, *sets))
    assert organs.labels == [{3: "spleen"}, {3: "spleen", 4: "liver"}]
    assert "left out: label 1 (set 0), cancer (set 0), Label_1 (set 1), cancer (set 1)" in caplog.text


def test_a_list_in_which_nothing_meets_is_refused_unless_a_set_may_meet_itself(tmp_path):
    apart = listed(tmp_path, {1: "liver", 2: "label 2"}, {1: "spleen"})
    with pytest.raises(
        UserError,
        match=r"list\.json: expected an organ that two .*found set 0: liver; set 1: spleen; .*--bank_weight 0",
    ):
        bank_organs(apart)
    assert bank_organs(apart, same_dataset=True).names == ["liver", "spleen"]
    with pytest.raises(
        UserError, match="and another organ to tell it from, found set 0: liver; set 1: liver, liver tumour"
    ):
        bank_organs(listed(tmp_path, {1: "liver"}, {1: "liver", 2: "liver tumour"}))
    many = {number: f"part {number}a" for number in range(1, 8)}
    with pytest.raises(UserError, match="set 0: part 1a, part 2a, part 3a, part 4a, part 5a, …;"):
        bank_organs(listed(tmp_path, many))


@pytest.mark.parametrize("same_dataset", [False, True])
def test_sets_whose_scans_have_no_label_do_not_count(tmp_path, same_dataset):
    with pytest.raises(UserError, match="found set 0: none; set 1: none"):
        bank_organs(listed(tmp_path, {1: "liver"}, {1: "liver"}, labelled=False), same_dataset=same_dataset)
