"""``python -m monai_cl embed``: a table, its drawings, what is nearest, what a column is predicted with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_cl.data import read_embeddings
from tests.cli.running import exit_status as run
from tests.engines.embedding.encoders import write_encoder, write_scan


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scans").mkdir()
    for number in range(6):
        write_scan(tmp_path / "scans" / f"s{number}.nii.gz", number)
    rows = "".join(f"s{number},{'ab'[number % 2]}\n" for number in range(6))
    (tmp_path / "stages.csv").write_text(f"id,stage\n{rows}", encoding="utf-8")
    return tmp_path


def test_one_command_embeds_draws_searches_and_probes(folder, capsys):
    encoder = write_encoder(folder / "encoder.pt", "segmentation")
    output = folder / "f.csv"
    words = ("embed", encoder, folder / "scans", "--output", output)
    assert run(*words) == 0
    shown = capsys.readouterr()
    assert "embedded 6 scans in " in shown.out
    assert "scans/s" in shown.out
    assert f"wrote {output}: 6 vectors of 6 numbers, 6 scans" in shown.out
    before = output.read_bytes()
    more = ("--table", folder / "stages.csv", "--plot", "pca", "--colour", "stage", "--nearest", "s3")
    assert run(*words, *more, "--probe", "stage", "--fold_count", 3, "--neighbours", 2) == 0
    shown = capsys.readouterr().out
    assert "embedded 0 scans; 6 were there already" in shown
    assert output.read_bytes() == before
    nearest = [line.split() for line in shown.splitlines() if line.startswith("  ")]
    table = read_embeddings(output)
    vectors = table.vectors.astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors[3]
    cosine[3] = -2
    assert [row[1] for row in nearest] == [f"s{number}" for number in np.argsort(-cosine)[:2]]
    found = json.loads((folder / "f_probe_stage.json").read_text(encoding="utf-8"))
    assert found["classes"] == {"a": 3, "b": 3}
    for name in ("f_pca_stage.png", "f_nearest_s3.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG"), name


@pytest.mark.parametrize(
    ("kind", "unit", "query"), [("unetr", "patch", "s1:0"), ("unetr", "slice", "s1:7"), ("unetr", "scan", "s1")]
)
def test_every_kind_of_row_has_its_picture(kind, unit, query, folder, capsys):
    encoder = write_encoder(folder / "encoder.pt", kind)
    scans = [folder / "scans" / f"s{number}.nii.gz" for number in range(2)]
    words = ("embed", encoder, *scans, "--output", folder / "f.npz", "--unit", unit, "--nearest", query)
    assert run(*words) == 0
    assert f"nearest to {query}:" in capsys.readouterr().out
    assert list(folder.glob("f_nearest_s1*.png"))


def test_mistakes_are_one_line_before_anything_is_computed(folder, capsys):
    encoder = write_encoder(folder / "encoder.pt", "segmentation")
    words = ("embed", encoder, folder / "scans", "--output", folder / "f.csv")
    for more, message in (
        (("--colour", "stage"), "--colour: expected --plot pca"),
        (("--unit", "voxel"), "--unit: expected one of scan, slice, patch, found voxel"),
        (("--level", 9), "--level: expected 0 to 4, found 9"),
        (("--batch_size", 0), "--batch_size: expected 1 or more"),
    ):
        assert run(*words, *more) == 2
        assert message in capsys.readouterr().err
        assert not (folder / "f.csv").exists()
    assert run("embed", encoder, "--output", folder / "f.csv") == 2
    assert "expected scans: files, folders or data lists, found none" in capsys.readouterr().err
