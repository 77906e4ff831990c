"""``python -m monai_cl preview``: what it prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_cl.cli.commands import main
from tests.cli.running import exit_status
from tests.data.volume_files import affine_of, ct_array, label_array, write_nifti

META = "meta_label_pretraining"
SMALL = ("--image_size", 32, "--scans_per_batch", 2, "--organ", "none", "--prepare_workers", 1)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two CT with a patient and a phase each."""
    items = []
    for number in range(2):
        write_nifti(tmp_path / f"scan{number}.nii.gz", ct_array(seed=number), affine_of("RAS"))
        write_nifti(tmp_path / f"scan{number}_label.nii.gz", label_array(), affine_of("RAS"))
        items.append({"image": f"scan{number}.nii.gz", "patient": f"Mr_Smith_{number}", "meta": {"phase": str(number)}})
    (tmp_path / "cine.json").write_text(
        json.dumps({"name": "two", "labels": {"0": "background"}, "training": items}), encoding="utf-8"
    )
    return tmp_path


def run(folder: Path, *words: object, config: str = META) -> int:
    where = ("--dataset_dir", folder, "--store_dir", folder / "store", "--output", folder / "page.html")
    return exit_status("preview", config, *where, *SMALL, *words)


def test_a_page_is_written_and_it_is_said_what_was_prepared(folder, capsys):
    assert run(folder, "--samples", 2) == 0
    shown = capsys.readouterr().out
    assert f"prepared 2 scans into {folder / 'store'}" in shown
    assert f"wrote {folder / 'page.html'} (" in shown
    assert "Mr_Smith_0" in (folder / "page.html").read_text(encoding="utf-8")
    assert run(folder, "--hash_patients", "key") == 0
    shown = capsys.readouterr().out
    assert "prepared" not in shown
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "Smith" not in page
    assert str(folder) not in page


def test_what_is_likely_wrong_is_printed_under_the_pages_names(folder, capsys):
    high = ("--window", "[2500,3000]")
    assert run(folder, *high) == 2  # the run refuses a slice that shows nothing
    assert "over the window" in capsys.readouterr().err
    still = "{'probability': 0.0, 'crop_area': 0.7, 'crop_ratio': [0.9, 1.1], 'brightness': 0.0, 'contrast': 0.0}"
    assert run(folder, "--views", still, "--hash_patients") == 0
    shown = capsys.readouterr().out
    assert "warning: The views of every sample are equal" in shown
    assert "The views of every sample are equal" in (folder / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--image_sise", 3), "did you mean --image_size?"),
        (("--samples", "two"), "--samples: expected an integer"),
        (("--samples", 0), "--samples: expected 1 or more"),
        (("--hash_patients", "yes"), "--hash_patients: expected nothing after it"),
        (("--data_list", "nowhere.json"), "nowhere.json"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(folder, capsys, words, said):
    before = {path.name for path in folder.iterdir()}
    assert run(folder, *words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert said in line
    assert {path.name for path in folder.iterdir()} - {"store"} == before


def test_options_of_a_file_count_and_the_command_line_takes_precedence(folder, capsys):
    file = folder / "plan.json"
    file.write_text(json.dumps({"window": [2500, 3000]}), encoding="utf-8")
    assert run(folder, "--args_file", file) == 2
    assert "one value over the window (2500.0, 3000.0); choose a window that divides them" in " ".join(
        capsys.readouterr().err.split()
    )
    assert run(folder, "--args_file", file, "--window", "[-100,400]") == 0
    assert (folder / "page.html").is_file()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("absent.json", None, "no such file"), ("text.json", "{", "JSON"), ("list.json", "[1]", "of options")],
)
def test_a_file_that_is_no_table_of_options_is_refused(folder, capsys, name, content, said):
    if content is not None:
        (folder / name).write_text(content, encoding="utf-8")
    assert run(folder, "--args_file", folder / name) == 2
    shown = capsys.readouterr().err
    assert name in shown
    assert said in shown
    assert not (folder / "page.html").exists()


def test_a_folder_in_place_of_the_page_is_refused_before_anything_is_prepared(folder, capsys):
    assert run(folder, "--output", folder) == 2
    assert "expected the name of a file to write" in capsys.readouterr().err
    assert not (folder / "store").exists()


def test_a_copy_of_a_bundle_has_its_own_store(folder, capsys):
    main(["bundle", "copy", META, str(folder / "mine")])
    words = ("--dataset_dir", folder, "--output", folder / "page.html", *SMALL, "--samples", 1)
    main([str(word) for word in ("preview", folder / "mine" / "configs" / "train.yaml", *words)])
    assert (folder / "mine" / "store" / "store.json").is_file()
    assert not (folder / "mine" / "models").exists()
