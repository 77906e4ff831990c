"""Tables of embeddings come back as they were written, in every format."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data import EmbeddingTable, read_embeddings, read_features, write_embeddings
from monai_cl.data.records.grade import Grade
from monai_cl.errors import UserError

COLUMNS = {
    "id": ["a", "-b", 'c,"d"'],
    "patient": ["P1", "=P2", "P1"],
    "image": ["a.nii.gz", "b\n.nii", "ü.nii.gz"],
    "target": [0, None, 2],
    "score": [0.1, None, 1e-9],
    "late": [True, False, None],
}


def table() -> EmbeddingTable:
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32) * np.float32(1e-3)
    return EmbeddingTable(vectors, COLUMNS, {"encoder": {"sha256": "0"}, "scans": {"ü": "1"}})


@pytest.mark.parametrize("ending", ["parquet", "csv", "npz"])
def test_a_table_is_what_it_was(ending, tmp_path):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason='the extra "embed" is not installed')
    path = write_embeddings(tmp_path / f"features.{ending}", table())
    found = read_embeddings(path)
    np.testing.assert_array_equal(found.vectors, table().vectors)
    assert found.columns == COLUMNS
    assert found.about == table().about
    assert path.read_bytes() == write_embeddings(tmp_path / f"again.{ending}", table()).read_bytes()


@pytest.mark.parametrize("ending", ["parquet", "csv", "npz"])
def test_every_format_is_what_the_probe_takes(ending, tmp_path):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason='the extra "embed" is not installed')
    columns = {"id": ["a", "a", "b"], "patient": ["P", "P", "Q"], "image": ["i"] * 3, "slice": [4, 5, 4]}
    columns |= {"target": [1, 1, None], "depth": [0.1, 0.2, 0.3], "stage": [4, 4, 0]}
    about = {"method": "wsp", "encoder": {"file": "encoder.pt"}}
    path = write_embeddings(tmp_path / f"f.{ending}", EmbeddingTable(table().vectors, columns, about))
    features = read_features(path)
    np.testing.assert_array_equal(features.features, table().vectors)
    assert features.patient.tolist() == ["P", "P", "Q"]
    assert features.slice.tolist() == ["a:4", "a:5", "b:4"]
    assert features.label.tolist() == [1, 1, -1]
    assert features.about == {"method": "wsp", "encoder": "encoder.pt"}
    np.testing.assert_allclose(features.depth, [0.1, 0.2, 0.3])
    assert read_features(path, grade=Grade("stage", 3)).label.tolist() == [1, 1, 0]
    with pytest.raises(UserError, match=r"expected the arrays .*age, found .*stage.*; name another --target_field"):
        read_features(path, grade=Grade("age", 3))


@pytest.mark.parametrize("overwritten", ['{"name": "list", "training": []}', "[1]", "no JSON"])
def test_a_csv_leaves_another_json_file_as_it_is(overwritten, tmp_path):
    other = tmp_path / "list.json"
    other.write_text(overwritten)
    with pytest.raises(
        UserError, match=r"list\.json: expected no other file than the one that says what made list\.csv"
    ):
        write_embeddings(tmp_path / "list.csv", table())
    assert other.read_text() == overwritten
    assert list(tmp_path.iterdir()) == [other]


def test_a_parquet_file_opens_elsewhere(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason='the extra "embed" is not installed')
    found = parquet.read_table(write_embeddings(tmp_path / "f.parquet", table()))
    assert found.column("patient").to_pylist() == COLUMNS["patient"]
    np.testing.assert_array_equal(np.array(found.column("vector").to_pylist(), np.float32), table().vectors)


def test_without_pyarrow_the_install_line_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"expected the package pyarrow, found none; pip install pyarrow, or .*\.csv"):
        write_embeddings(tmp_path / "f.parquet", table())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["parquet", "csv", "npz"])
def test_other_files_are_refused(ending, tmp_path):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason='the extra "embed" is not installed')
    path = Path(tmp_path / f"f.{ending}")
    path.write_bytes(b"id,patient\n1,2\n")
    path.with_suffix(".json").write_text(json.dumps({"columns": {"id": "text", "image": "text"}}))
    with pytest.raises(UserError, match=r"expected a table as `python -m monai_cl embed` writes it"):
        read_embeddings(path)
    with pytest.raises(UserError, match="expected a name ending in"):
        read_embeddings(tmp_path / "f.txt")


def test_vectors_are_finite_and_columns_of_one_length():
    with pytest.raises(UserError, match="b: expected finite vectors"):
        EmbeddingTable(np.array([[1.0], [np.nan]]), {"id": ["a", "b"]})
    with pytest.raises(UserError, match="patient: expected 1 values, found 2"):
        EmbeddingTable(np.ones((1, 1)), {"id": ["a"], "patient": ["a", "b"]})
    with pytest.raises(UserError, match="expected a column 'stage', found id; name one"):
        EmbeddingTable(np.ones((1, 1)), {"id": ["a"]}).column("stage")
