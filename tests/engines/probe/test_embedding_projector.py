from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from monai_cl.engines import add_embeddings
from tests.engines.probe.feature_cohorts import feature_cohort


def write(folder: Path, features, **options) -> tuple[int, list[list[str]], np.ndarray, Path]:
    with SummaryWriter(str(folder)) as writer:
        count = add_embeddings(writer, features, **options)
    place = next(folder.rglob("metadata.tsv")).parent
    rows = [line.split("\t") for line in (place / "metadata.tsv").read_text(encoding="utf-8").splitlines()]
    return count, rows, np.loadtxt(place / "tensors.tsv"), place


def test_points_come_with_patient_class_and_depth(tmp_path):
    made = feature_cohort(patients=5)
    made = replace(made, label=np.where(made.patient == "p004", -1, made.label))
    count, rows, points, _ = write(tmp_path, made)
    assert count == 20
    assert rows[0] == ["patient", "class", "depth", "slice"]
    assert rows[1] == ["p000", "1", "0.1250", "0"]
    assert rows[-1][:2] == ["p004", "unknown"]
    np.testing.assert_allclose(points, made.features, rtol=1e-5)
    assert "representations" in (tmp_path / "projector_config.pbtxt").read_text(encoding="utf-8")


def test_many_points_are_thinned_and_pictures_follow(tmp_path):
    made = feature_cohort()
    pictures = torch.arange(120).reshape(120, 1, 1, 1).expand(120, 1, 8, 8) / 120
    count, rows, points, place = write(tmp_path, made, at_most=9, pictures=pictures)
    assert count == 9 == len(points)
    chosen = [int(row[3]) for row in rows[1:]]
    np.testing.assert_allclose(points, made.features[chosen], rtol=1e-5)
    assert (place / "sprite.png").is_file()


def test_ids_with_tabs_do_not_shift_the_table(tmp_path):
    made = feature_cohort(patients=4)
    _, rows, _, _ = write(tmp_path, replace(made, patient=[f"a\t{name}\nb" for name in made.patient]))
    assert {len(row) for row in rows} == {4}
    assert rows[1][0] == "a p000 b"


def test_options_out_of_range_are_refused(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        with pytest.raises(ValueError, match="at_most must be >= 2 points, got 1"):
            add_embeddings(writer, feature_cohort(), at_most=1)
        with pytest.raises(ValueError, match="pictures must be one a slice, got 3 for 120 slices"):
            add_embeddings(writer, feature_cohort(), pictures=torch.zeros(3, 1, 8, 8))
