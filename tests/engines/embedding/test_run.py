"""A run that was killed gives the table of one that was not; nothing of another run is replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_cl.data import read_embeddings
from monai_cl.engines import embed
from monai_cl.engines.embedding import run as module
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, write_nifti
from tests.engines.embedding.encoders import write_encoder, write_scan

OPTIONS = {"unit": "slice"}


@pytest.fixture
def scans(tmp_path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        write_scan(folder / f"scan{number}.nii.gz", number)
    return folder


@pytest.fixture
def encoder(tmp_path) -> Path:
    return write_encoder(tmp_path / "encoder.pt", "segmentation")


@pytest.fixture
def embedded(monkeypatch) -> list[int]:
    """Numbers of vectors that were computed, scan by scan; killed before the one whose place ``stop`` is."""
    done: list[int] = []
    original = module.embed_scan

    def count(*args, **options):
        vectors, rows = original(*args, **options)
        done.append(len(vectors))
        return vectors, rows

    monkeypatch.setattr(module, "embed_scan", count)
    return done


@pytest.mark.parametrize("ending", ["csv", "npz"])
def test_a_killed_run_goes_on_and_gives_the_same_table(ending, scans, encoder, embedded, tmp_path, monkeypatch):
    whole = embed(encoder, scans, output=tmp_path / f"whole.{ending}", **OPTIONS)
    embedded.clear()
    original = module.embed_scan

    def killed(*args, **options):
        if len(embedded) == 2:
            raise KeyboardInterrupt
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "embed_scan", killed)
        with pytest.raises(KeyboardInterrupt):
            embed(encoder, scans, output=tmp_path / f"f.{ending}", **OPTIONS)
    assert not (tmp_path / f"f.{ending}").exists()
    embed(encoder, scans, output=tmp_path / f"f.{ending}", **OPTIONS)
    assert len(embedded) == 3
    assert (tmp_path / f"f.{ending}").read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()
    assert not list(tmp_path.glob("*.parts"))
    np.testing.assert_array_equal(read_embeddings(tmp_path / f"f.{ending}").vectors, whole.vectors)


def test_a_new_scan_computes_only_itself(scans, encoder, embedded, tmp_path):
    first = embed(encoder, scans, output=tmp_path / "f.npz", **OPTIONS)
    write_scan(scans / "scan3.nii.gz", 3)
    embedded.clear()
    both = embed(encoder, scans, output=tmp_path / "f.npz", **OPTIONS)
    assert len(embedded) == 1
    np.testing.assert_array_equal(both.vectors[: len(first)], first.vectors)
    assert both.columns["id"][-1] == "scan3"
    write_scan(scans / "scan0.nii.gz", 9)  # another content
    embedded.clear()
    again = embed(encoder, scans, output=tmp_path / "f.npz", **OPTIONS)
    assert len(embedded) == 1
    assert np.abs(again.vectors[:20] - both.vectors[:20]).max() > 0
    np.testing.assert_array_equal(again.vectors[20:], both.vectors[20:])


def test_a_table_of_another_run_is_not_replaced(scans, encoder, tmp_path):
    path = tmp_path / "f.npz"
    embed(encoder, scans, output=path, **OPTIONS)
    before = path.read_bytes()
    other = write_encoder(tmp_path / "other.pt", "clustering")
    with pytest.raises(UserError, match="one made with the same encoder"):
        embed(other, scans, output=path, **OPTIONS)
    with pytest.raises(UserError, match="one made with the same options"):
        embed(encoder, scans, output=path)
    with pytest.raises(UserError, match="found 2 others, such as scan1"):
        embed(encoder, scans / "scan0.nii.gz", output=path, **OPTIONS)
    assert path.read_bytes() == before
    assert len(embed(encoder, scans / "scan0.nii.gz", output=path, overwrite=True, **OPTIONS)) == 20


def test_scans_that_cannot_be_used_are_named_once_the_others_are_done(scans, encoder, embedded, tmp_path):
    write_nifti(scans / "flat.nii.gz", np.zeros((40, 36, 20), np.int16), affine_of("RAS", (2.0,) * 3))
    (scans / "cut.nii.gz").write_bytes((scans / "scan0.nii.gz").read_bytes()[:500])
    path = tmp_path / "f.npz"
    with pytest.raises(UserError, match=r"2 of 5 scans cannot be embedded: correct them.*--skip(.|\n)*cut(.|\n)*flat"):
        embed(encoder, scans, output=path, **OPTIONS)
    assert not path.exists()
    assert len(embedded) == 3
    table = embed(encoder, scans, output=path, skip=True, **OPTIONS)
    assert len(embedded) == 3
    assert sorted(table.about["left_out"]) == ["cut", "flat"]
    assert sorted(set(table.columns["id"])) == ["scan0", "scan1", "scan2"]


def test_two_scans_of_one_name_and_places_without_scans_are_refused(scans, encoder, tmp_path):
    listed = tmp_path / "list.json"
    listed.write_text('{"name": "one", "training": [{"image": "scans/scan1.nii.gz"}]}', encoding="utf-8")
    with pytest.raises(UserError, match="scan scan1: expected one scan of this name"):
        embed(encoder, [listed, scans])
    listed.write_text('{"name": "one", "modality": "MR", "training": [{"image": "scans/scan1.nii.gz"}]}')
    with pytest.raises(UserError, match=r"scan1\.nii\.gz: expected a CT: the encoder was trained on HU, found MR"):
        embed(encoder, listed)
    with pytest.raises(UserError, match="nowhere: expected a scan, a folder of scans or a data list, found nothing"):
        embed(encoder, tmp_path / "nowhere")
    with pytest.raises(UserError, match="expected a scan"):
        embed(encoder, encoder)
    with pytest.raises(UserError, match=r"expected a name ending in \.parquet, \.csv, \.npz"):
        embed(encoder, scans, output=tmp_path / "f.txt")
