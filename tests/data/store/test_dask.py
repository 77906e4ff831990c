"""Preparation on a Dask cluster: other processes do the work, and the result is that of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from monai_cl.data.store.volume_store import Preparation, VolumeStore
from tests.data.volume_files import items_of

ROOT = Path(__file__).resolve().parents[3]

_RUN = """
import sys
from distributed import LocalCluster
from monai_cl.cli.commands import main
from monai_cl.data.store import volume_store as store

def not_here(*_):
    raise RuntimeError("this process was to prepare nothing")

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        store.convert = not_here  # the workers are processes of their own
        main(["prepare", *sys.argv[1:], "--dask", cluster.scheduler_address, "--progress=False"])
"""


def test_a_local_cluster_prepares_what_one_process_would(tmp_path):
    items = items_of(tmp_path, 5)
    del items[4]["label"]
    items[3]["label"] = str(tmp_path / "nowhere.nii.gz")
    labels = {"0": "background", "1": "a", "2": "b", "5": "c"}
    kept = ("image", "label", "id", "patient")
    training = [{key: item[key] for key in kept if key in item} for item in items]
    for item in training:
        for kind in ("image", "label"):
            if kind in item:
                item[kind] = os.path.relpath(item[kind], tmp_path)
    (tmp_path / "list.json").write_text(json.dumps({"name": "tiny", "labels": labels, "training": training}))
    words = [str(tmp_path / "list.json"), "--store", str(tmp_path / "dask")]
    # a file, for the cluster's processes import it again
    (tmp_path / "run.py").write_text(_RUN)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), *words],
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 2, done.stderr  # one volume cannot be prepared
    assert "1 of 5 volumes cannot be prepared" in done.stderr
    assert "4 prepared, 0 already there, 1 skipped" in done.stdout
    assert "nowhere.nii.gz" in done.stdout
    there = VolumeStore.open(tmp_path / "dask")
    assert there.verify() == []
    here = VolumeStore.create(tmp_path / "here", Preparation())
    for item, number in zip(items, range(3)):
        key = here.add({**item, "dataset": "tiny"})
        assert key in there
        assert (there.read(key) == here.read(key)).all(), number
