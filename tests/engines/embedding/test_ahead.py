"""What cannot come out well is refused before the first scan is embedded, whatever option asks for it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from monai_cl.engines import embed
from monai_cl.engines.embedding import run as module
from monai_cl.errors import UserError
from tests.cli.running import exit_status as run
from tests.engines.embedding.encoders import write_encoder, write_scan


@pytest.fixture
def embedded(monkeypatch) -> list[str]:
    """Scans that were read or embedded."""
    done: list[str] = []
    for owner, name in ((module.ScanLoader, "__getitem__"), (module, "embed_scan")):
        original = getattr(owner, name)

        def noted(*args, original=original, name=name, **options):
            done.append(name)
            return original(*args, **options)

        monkeypatch.setattr(owner, name, noted)
    return done


@pytest.fixture
def folder(tmp_path):
    """Four scans of three patients in a list; the same scans lie in a folder."""
    (tmp_path / "scans").mkdir()
    items = []
    for number in range(4):
        write_scan(tmp_path / "scans" / f"s{number}.nii.gz", number)
        own = {"patient": f"p{min(number, 2)}", "target": int(number > 1), "meta": {"site": "ab"[number % 2], "one": 1}}
        items.append({"image": f"scans/s{number}.nii.gz", **own})
    (tmp_path / "list.json").write_text(json.dumps({"name": "four", "training": items}), encoding="utf-8")
    return tmp_path


def test_every_fault_that_the_options_and_the_list_tell_is_refused_before_the_first_scan(folder, embedded, capsys):
    encoder = write_encoder(folder / "encoder.pt", "segmentation")
    (folder / "no_key.csv").write_text("name,stage\ns0,1\n", encoding="utf-8")
    (folder / "others.csv").write_text("id,stage\nx,1\n", encoding="utf-8")
    (folder / "twice.csv").write_text("id,stage\ns0,1\ns0,2\n", encoding="utf-8")
    (folder / "stages.csv").write_text("patient,stage\np0,a\np1,b\np2,b\n", encoding="utf-8")
    (folder / "taken").mkdir()
    (folder / "taken.npz").mkdir()
    words = ("embed", encoder, folder / "list.json", "--output", folder / "f.npz")
    slices = ("--unit", "slice")
    stages = ("--table", folder / "stages.csv")
    for more, message in (
        (("--table", folder / "no_key.csv"), "no_key.csv: expected a column id (of the scan) or patient"),
        (("--table", folder / "none.csv"), "none.csv: no such file"),
        (("--table", folder / "others.csv"), "expected rows of the ids of the table of embeddings, such as s0"),
        (("--table", folder / "twice.csv"), "expected one row of id s0"),
        (("--plot", "pca", "--colour", "stage"), "expected a column 'stage', found id, patient, image, dataset"),
        (("--plot", "pca", "--colour", "slice"), "expected a column 'slice'"),
        (("--plot", "tsne"), "--plot: expected one of pca, umap, found tsne"),
        (("--nearest", "s9"), "--nearest s9: expected a scan of"),
        ((*slices, "--nearest", "s9:3"), "--nearest s9:3: expected a scan of"),
        (("--nearest", "s1:5"), "--nearest s1:5: expected a row of s1"),
        (("--nearest", "s1", "--neighbours", 0), "--neighbours: expected 1 or more"),
        (("--probe", "stage"), "expected a column 'stage'"),
        (("--probe", "one", "--fold_count", 2), "expected two values or more, found 1"),
        (("--probe", "target", "--fold_count", 1), "--fold_count: expected 2 or more, found 1"),
        (("--probe", "target", "--fold_count", 3), "expected at least 3 patients"),
        ((*stages, "--probe", "stage", "--fold_count", 2), "expected at least 2 patients, one for each fold, found 1"),
        # s2 and s3 are of one patient: the classes are those of rows
        (("--probe", "site", "--fold_count", 2), "expected two values or more in the training part"),
        ((*slices, "--probe", "depth", "--fold_count", 2), "expected two patients or more in the training part"),
        ((*slices, "--probe", "depth", "--fold_count", 4), "expected at least 4 patients"),
        (("--batch_size", 0), "--batch_size: expected 1 or more, found 0"),
        (("--workers", -1), "--workers: expected 0 or more, found -1"),
        (("--device", "nowhere"), "--device: expected"),
        (("--splits", "test"), "expected scans under test"),
        (("--output", folder / "list.json" / "f.npz"), "cannot be written"),
        (("--output", folder / "taken.npz", "--overwrite"), "taken.npz: expected a file, found a folder"),
        (("--output", folder / "list.csv", "--overwrite"), "list.json: expected no other file than"),
    ):
        before = (folder / "list.json").read_bytes()
        assert run(*words, *more) == 2, more
        shown = capsys.readouterr().err
        assert message in shown, shown
        assert embedded == [], more
        assert not list(folder.glob("f.*")), more
        assert (folder / "list.json").read_bytes() == before
    one = ("embed", encoder, folder / "scans" / "s0.nii.gz", "--output", folder / "f.npz")
    for more, message in (
        (("--nearest", "s0"), "--nearest: expected scans beside that one, found none"),
        (("--plot", "pca"), "--plot: expected 2 rows or more, found 1"),
    ):
        assert run(*one, *more) == 2, more
        assert message in capsys.readouterr().err
        assert embedded == []


@pytest.mark.parametrize(
    ("package", "more"), [("umap", ("--plot", "umap")), ("pyarrow", ("--output", "f.parquet"))], ids=["umap", "pyarrow"]
)
def test_a_missing_package_is_named_before_the_first_scan(package, more, folder, embedded, capsys, monkeypatch):
    encoder = write_encoder(folder / "encoder.pt", "segmentation")
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(folder)
    assert run("embed", encoder, "list.json", "--output", "f.npz", *more) == 2
    assert "pip install" in capsys.readouterr().err
    assert embedded == []


def test_what_is_asked_of_a_list_is_asked_of_its_slices_too(folder, capsys):
    """The check ahead lets pass what the table then has: columns of the rows, of the list, of a table."""
    encoder = write_encoder(folder / "encoder.pt", "segmentation")
    (folder / "stages.csv").write_text("id,stage\ns0,1\ns1,3\ns2,2\ns3,4\n", encoding="utf-8")
    words = ("embed", encoder, folder / "list.json", "--output", folder / "f.npz", "--unit", "slice")
    more = ("--table", folder / "stages.csv", "--plot", "pca", "--colour", "depth", "--nearest", "s1:7")
    assert run(*words, *more, "--probe", "stage", "--fold_count", 3) == 0
    assert run(*words, "--plot", "pca", "--colour", "site", "--probe", "depth", "--fold_count", 3) == 0
    assert {path.name for path in folder.glob("f_*")} == {
        *("f_pca_depth.png", "f_pca_site.png", "f_nearest_s1_7.png", "f_probe_stage.json", "f_probe_depth.json")
    }


def test_scans_that_the_encoder_does_not_take_are_named_before_the_first_scan(folder, embedded, capsys):
    content = json.loads((folder / "list.json").read_text(encoding="utf-8"))
    content["training"][1]["modality"] = "MR"
    (folder / "list.json").write_text(json.dumps(content), encoding="utf-8")
    encoder = write_encoder(folder / "encoder.pt", "segmentation")
    with pytest.raises(UserError, match=r"1 of 4 scans cannot be embedded.*--skip(.|\n)*s1: .*a CT.* found MR"):
        embed(encoder, folder / "list.json", output=folder / "f.npz")
    assert embedded == []
    table = embed(encoder, folder / "list.json", output=folder / "f.npz", skip=True)
    assert table.columns["id"] == ["s0", "s2", "s3"]
    assert list(table.about["left_out"]) == ["s1"]


@pytest.mark.parametrize("skip", [False, True])
def test_a_run_says_how_many_scans_were_embedded_left_out_and_there_already(skip, folder, capsys, monkeypatch):
    for number in (1, 3):
        (folder / "scans" / f"s{number}.nii.gz").write_bytes(b"no scan")
    moments = iter(np.arange(0.0, 1000.0, 4.0))  # four seconds from the start to the end
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moments))
    encoder = write_encoder(folder / "encoder.pt", "segmentation")
    words = ("embed", encoder, folder / "scans", "--output", folder / "f.npz", *(["--skip"] if skip else []))
    assert run(*words) == (0 if skip else 2)
    shown = capsys.readouterr()
    rest = "2 left out" if skip else "2 cannot be embedded"
    assert f"embedded 2 scans in 4.0 s: 0.50 scans/s; {rest}\n" in shown.out
    assert "?scan/s" not in shown.err.splitlines()[-1]
    assert ("2 of 4 scans cannot be embedded" in shown.err) == (not skip)
    write_scan(folder / "scans" / "s1.nii.gz", 1)
    assert run(*words) == (0 if skip else 2)
    rest = "1 left out" if skip else "1 cannot be embedded"
    assert f"embedded 1 scan in 4.0 s: 0.25 scans/s; 2 were there already; {rest}\n" in capsys.readouterr().out
    write_scan(folder / "scans" / "s3.nii.gz", 3)
    assert run(*words) == 0
    assert "embedded 1 scan in 4.0 s: 0.25 scans/s; 3 were there already\n" in capsys.readouterr().out
    assert run(*words) == 0
    assert "embedded 0 scans; 4 were there already\n" in capsys.readouterr().out
