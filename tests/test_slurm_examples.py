"""The Slurm scripts of the documentation, run by bash with stand-ins for Slurm's commands."""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from monai_cl.engines.launch.command_line import invocation

SLURM = Path(__file__).resolve().parents[1] / "docs" / "slurm"
SCRIPTS = sorted(path.name for path in SLURM.glob("*.sbatch"))
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="about bash")

STAND_INS = {
    # the step's tasks: one of them, number 3 of 8, second on its machine
    "srun": """while [[ $1 == --* ]]; do shift; done
SLURM_PROCID=3 SLURM_LOCALID=1 SLURM_NTASKS=8 "$@" """,
    "scontrol": """if [ "$1" = show ]; then printf 'node1\\nnode2\\n'; else echo "$@" >> scontrol.calls; fi""",
    "python": f"""if [ "$2" = monai_cl ]; then exec {sys.executable} "$@"; fi
printf '%s\\n' "$@" > arguments; env > environment; exit "$STATUS" """,
    "torchrun": """printf '%s\\n' "$@" > arguments
if [ "$SAVED" = yes ]; then echo "SIGTERM: saved at iteration 7; ..." >> monai_cl-42.log; fi
exit "$STATUS" """,
}


@pytest.fixture
def job(tmp_path):
    """``job(script, *words, status=…, saved=…)``: its exit status, and the calls of ``scontrol requeue``."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, body in STAND_INS.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o700 | stat.S_IXUSR)
    (tmp_path / "monai_cl-42.log").write_text("SIGTERM: saved at iteration 5; ...\n")  # of the start before

    def run(script: str, *words: str, status: int = 0, saved: bool = False, restarts: int = 0) -> tuple[int, list[str]]:
        environment = {
            "SLURM_JOB_ID": "42", "SLURM_JOB_NAME": "monai_cl", "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4", "SLURM_RESTART_COUNT": str(restarts),
            "STATUS": str(status), "SAVED": "yes" if saved else "no", "PATH": f"{tools}:{os.environ['PATH']}",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", str(SLURM / script), *words],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=100,
        )
        calls = tmp_path / "scontrol.calls"
        return done.returncode, calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []

    return run


def arguments(folder: Path) -> list[str]:
    return (folder / "arguments").read_text(encoding="utf-8").splitlines()


def test_the_scripts_are_there_and_bash_reads_them():
    assert SCRIPTS == ["torchrun.sbatch", "train.sbatch"]
    for name in SCRIPTS:
        subprocess.run(["bash", "-n", str(SLURM / name)], check=True)
        text = (SLURM / name).read_text(encoding="ascii")
        assert {"--requeue", "--signal=TERM@180", "--open-mode=append"} <= set(
            re.findall(r"^#SBATCH (\S+)", text, re.M)
        )


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("bundle", ["mixcl_ct_pretraining", "cirrhosis_classification"])
def test_they_start_a_bundle_with_files_and_options_it_has(name, bundle, job, tmp_path):
    assert job(name, bundle, "--output_dir", "a folder", "--iterations", "20") == (0, [])
    words = arguments(tmp_path)
    given = words[words.index("--config_file") + 1]
    files = ast.literal_eval(given)
    assert [Path(file).name for file in files] == ["train.yaml", "multi_gpu_train.yaml"]
    assert all(Path(file).is_file() and bundle in file for file in files)
    assert words[words.index("--run_id") + 1] == ("finetune" if bundle == "cirrhosis_classification" else "run")
    assert words[-4:] == ["--output_dir", "a folder", "--iterations", "20"]
    call = invocation(["monai.bundle", "run", *words[words.index("--run_id") :]])
    call.check_overrides()


def test_processes_of_srun_know_who_they_are(job, tmp_path):
    job("train.sbatch", "spleen_unetr_segmentation")
    found = dict(
        line.split("=", 1)
        for line in (tmp_path / "environment").read_text(encoding="utf-8").splitlines()
        if "=" in line
    )
    expected = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "MASTER_ADDR": "node1", "MASTER_PORT": "20042"}
    assert {name: found.get(name) for name in expected} == expected


def test_agents_of_torchrun_meet_on_the_first_machine(job, tmp_path):
    job("torchrun.sbatch", "spleen_unetr_segmentation")
    words = arguments(tmp_path)
    assert {"--nnodes=2", "--nproc_per_node=4", "--rdzv_id=42", "--rdzv_endpoint=node1:20042"} <= set(words)
    # every option is torchrun's own
    from torch.distributed.run import get_args_parser

    options, rest = get_args_parser().parse_known_args(words)
    assert (options.training_script, options.shutdown_timeout) == ("monai.bundle", 150)
    assert not rest


@pytest.mark.parametrize(
    ("name", "status", "saved", "again"),
    [
        ("train.sbatch", 0, False, False),
        ("train.sbatch", 1, False, False),
        ("train.sbatch", 75, False, True),
        ("train.sbatch", 143, False, True),  # volumes were still being prepared
        ("train.sbatch", 137, False, False),
        ("torchrun.sbatch", 0, True, False),  # finished all the same
        ("torchrun.sbatch", 1, False, False),
        ("torchrun.sbatch", 1, True, True),
    ],
)
def test_a_job_goes_back_into_the_queue_only_when_sigterm_ended_it(name, status, saved, again, job):
    ended = job(name, "spleen_unetr_segmentation", status=status, saved=saved)
    assert ended == (status, ["requeue 42"] if again else [])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_job_does_not_go_round_for_ever(name, job):
    assert job(name, "spleen_unetr_segmentation", status=75, saved=True, restarts=50) == (75, [])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_mistake_ends_before_anything_starts(name, job, tmp_path):
    assert job(name) == (2, [])
    assert job(name, "spleen_unetr")[0] != 0
    assert not (tmp_path / "arguments").exists()
