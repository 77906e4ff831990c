"""Lists of folders of 2D images: a folder for each class, patterns, and modalities that must be named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cl.cli.commands import main
from monai_cl.data import load_data_list, validate_data_list
from monai_cl.data.datalist.create import create_data_list
from monai_cl.data.datalist.items import item_modality
from monai_cl.errors import UserError


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(list(name.encode())).integers(0, 255, (16, 16), dtype=np.uint8)).save(
            folder / name
        )
    return folder


def test_mednists_folders_are_classes_with_their_modality(tmp_path, capsys):
    folder = pictures(
        tmp_path / "MedNIST", *(f"{c}/{n:06d}.jpeg" for c in ("HeadCT", "CXR", "BreastMRI") for n in (2, 10))
    )
    (folder / "README.md").write_text("words")
    main(["datalist", "create", str(folder), "--layout", "mednist"])
    assert "6 scans, 6 with labels\n  images {class}/*\n" in capsys.readouterr().out
    data_list = load_data_list(folder / "data_list.json")
    assert data_list.classes == {"0": "BreastMRI", "1": "CXR", "2": "HeadCT"}
    found = [(item["id"], item["target"], item_modality(item)) for item in data_list.items()]
    assert found[::2] == [("BreastMRI_000002", 0, "MR"), ("CXR_000002", 1, "XR"), ("HeadCT_000002", 2, "CT")]
    assert validate_data_list(folder / "data_list.json") == []


def test_other_classes_need_their_modality(tmp_path):
    folder = pictures(tmp_path, "normal/a.png", "effusion/b.png", "stray.png")
    with pytest.raises(UserError, match=r"whose modality is known, found effusion; .*--modality XR"):
        create_data_list(folder, layout="mednist")
    document = create_data_list(folder, layout="mednist", modality="xr").document
    assert document["modality"] == "XR"
    assert document["training"] == [{"image": "effusion/b.png", "target": 0}, {"image": "normal/a.png", "target": 1}]


def test_a_part_of_the_images_validates(tmp_path):
    folder = pictures(tmp_path, *(f"Hand/{n}.png" for n in range(5)))
    document = create_data_list(folder, layout="mednist", validation=0.4).document
    assert [len(document[split]) for split in ("training", "validation")] == [3, 2]


def test_pictures_by_a_pattern_need_their_modality_too(tmp_path):
    folder = pictures(tmp_path, "p1_a.png", "p1_b.png", "p2_a.png")
    with pytest.raises(UserError, match="modality: expected the modality of PNG and JPEG, found none"):
        create_data_list(folder, images="{patient}_{case}.png")
    document = create_data_list(folder, images="{patient}_{case}.png", modality="US").document
    assert [item["patient"] for item in document["training"]] == ["p1", "p1", "p2"]
    assert document["modality"] == "US"
    (tmp_path / "list.json").write_text(json.dumps(document), encoding="utf-8")
    assert validate_data_list(tmp_path / "list.json") == []


def test_a_folder_of_pictures_without_a_layout_says_how_to_list_them(tmp_path):
    with pytest.raises(UserError, match=r"--layout mednist --modality XR; for others: --images '\{case\}\.png'"):
        create_data_list(pictures(tmp_path, "a.png", "b.png"))
    with pytest.raises(UserError, match=r"folders of \.png, \.jpeg or \.dcm files, one for each class, found a\.png"):
        create_data_list(tmp_path, layout="mednist")
