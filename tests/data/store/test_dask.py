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
import json
import sys

import joblib
from distributed import LocalCluster

from monai_cl.data import Preparation, prepare
from monai_cl.data.store import volume_store as store

def not_here(*_):
    raise RuntimeError("this process was to prepare nothing")

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        store.convert = not_here  # the workers are processes of their own
        with joblib.parallel_config("dask", client=cluster.get_client()):
            made = prepare(json.load(sys.stdin), sys.argv[1], Preparation(), workers=2, progress=False, report=None)
    print(made.summary())
"""


def test_a_local_cluster_prepares_what_one_process_would(tmp_path):
    items = items_of(tmp_path, 5)
    del items[4]["label"]
    items[3]["label"] = str(tmp_path / "nowhere.nii.gz")
    # a file, for the cluster's processes import it again
    (tmp_path / "run.py").write_text(_RUN)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "dask")],
        input=json.dumps(items),
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert "4 prepared, 0 already there, 1 skipped" in done.stdout
    assert "nowhere.nii.gz" in done.stdout
    there = VolumeStore.open(tmp_path / "dask")
    assert there.verify() == []
    here = VolumeStore.create(tmp_path / "here", Preparation())
    for item, number in zip(items, range(3)):
        key = here.add(item)
        assert key in there
        assert (there.read(key) == here.read(key)).all(), number
