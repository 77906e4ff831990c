"""Nothing needs the network at run time.

The whole suite shows it: its process and every command that the launcher starts may speak to this machine alone, and a
command that so much as asks for another ends with a status of its own. Here the guard is tested, and the way from data
to a segmentation on a machine that has no network at all.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from monai_cl.data import read_results, write_cohort
from tests.bundles.conftest import SPLEEN, TINY, config_files, words
from tests.bundles.launcher import USED_THE_NETWORK

ELSEWHERE = ("192.0.2.1", 9)  # an address for documentation, which nobody has


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: socket.create_connection(ELSEWHERE, timeout=1),
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: socket.gethostbyname("example.org"),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ELSEWHERE),
    ],
    ids=["connect", "getaddrinfo", "gethostbyname", "sendto"],
)
@pytest.mark.filterwarnings("ignore:unclosed")
def test_the_network_is_refused_to_the_tests(attempt):
    with pytest.raises(PermissionError, match="the network is not to be used"):
        attempt()


def test_this_machine_may_be_spoken_to():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        assert socket.getaddrinfo("localhost", 80)


def test_a_command_that_hides_its_attempt_is_found_out(launcher, tmp_path):
    (tmp_path / "knocking.py").write_text(
        "import urllib.request\n"
        "try:\n    urllib.request.urlopen('http://example.org')\nexcept OSError:\n    print('went on')\n"
    )
    done = launcher.run("knocking", cwd=tmp_path)
    assert done.status == USED_THE_NETWORK
    assert done.out == "went on\n"
    assert "socket.getaddrinfo example.org" in done.err


def has_namespaces() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not has_namespaces(), reason="no network namespaces here")
def test_a_machine_without_any_network_trains_segments_and_reports(tmp_path):
    write_cohort(tmp_path / "ct", cases=5, spacing=8, progress=False)

    def run(*command: object) -> None:
        whole = ["unshare", "-rn", sys.executable, "-m", *map(str, command)]
        done = subprocess.run(
            whole,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr[-4000:]

    small = {**TINY, "num_workers": 0}
    data = {
        "dataset_dir": tmp_path / "ct",
        "data_list": tmp_path / "ct" / "spleen.json",
        "store_dir": tmp_path / "store",
    }
    length = {"iterations": 2, "epoch_length": 2, "output_dir": tmp_path / "run", "overlay_cases": 1}
    train = words({k: v if isinstance(v, list) else str(v) for k, v in {**small, **data, **length}.items()})
    run("monai.bundle", "run", "--config_file", *config_files(SPLEEN, "train"), *train)
    assert read_results(tmp_path / "run")["metrics"]["per_case"]
    scan = str(tmp_path / "ct" / "synthetic_spleen" / "images" / "spleen_0001.nii.gz")
    infer = words({**TINY, "checkpoint": str(tmp_path / "run" / "model.pt"), "output_dir": str(tmp_path / "labels")})
    run(
        "monai.bundle",
        "run",
        "--config_file",
        *config_files(SPLEEN, "inference"),
        *infer,
        "--datalist",
        json.dumps([scan]),
    )
    assert (tmp_path / "labels" / "spleen_0001_seg.nii.gz").is_file()
    run("monai_cl", "report", tmp_path / "run", "--output", tmp_path / "report.html")
    run("monai_cl", "datalist", "validate", tmp_path / "ct" / "spleen.json")
