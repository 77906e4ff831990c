"""How to run commands of the documentation that cannot run as written; the first rule that matches counts.

A command of ``python -m monai_cl`` or ``python -m monai.bundle run`` needs no rule: it is run in a folder that looks
like a user's (`tests/docs/world.py`), against bundles whose default sizes are small. A rule is for what takes hours,
needs real data, several machines or a network, or starts a program of another kind. Add yours in any place of `RULES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rule:
    """What to do with a command.

    Attributes:
        pattern: regular expression searched in the command.
        why: the reason, in words.
        replace: parts of the command -> their replacement.
        status: that the command has to end with.
        shown_by: ``file::test`` or ``file`` that runs the command in another way; then it is not run here.
    """

    pattern: str
    why: str
    replace: dict[str, str] = field(default_factory=dict)
    status: int = 0
    shown_by: str | None = None


TWO_MACHINES = "tests/bundles/test_several_processes.py::test_two_machines_learn_what_two_processes_on_one_do"
RULES = (
    # ---- programs of another kind -------------------------------------------------------------------------------
    Rule(r"^(WORKERS=\d+ )?make (test|check|test-slow|test-gpu)$", "the suite cannot run itself", shown_by="make"),
    Rule(r"^make (bench|soak)\b", "hours", shown_by="make"),
    Rule(r"^make (monailabel|test-monailabel|test-install)$", "environments of gigabytes", shown_by="make"),
    Rule(r"^python -m http\.server ", "a server that does not end", shown_by="pip"),
    Rule(r"^curl ", "a running server", shown_by="tests/serving/test_monai_label.py"),
    Rule(r"^python -m monai_cl monailabel ", "a server, which test_monai_label.py starts", replace={"$": " --nostart"}),
    Rule(
        r"^python -m timeit ",
        "its set-up is in the same sentence",
        shown_by="tests/transforms/crops/test_multi_crop.py",
    ),
    Rule(r"^make docs$", "test_site.py builds them", shown_by="tests/docs/test_site.py"),
    Rule(
        r"^make demo$|monai_cl demo\b",
        "minutes",
        shown_by="tests/cli/test_commands.py::test_the_quick_demonstration_runs_to_its_report",
    ),
    Rule(
        r"^python3 -m venv ",
        "what follows needs the environment that the tests run in",
        replace={r"-m venv (\S+)": r"-m venv --without-pip \1", "$": " && deactivate"},
    ),
    Rule(r"^pip install ", "needs an index", shown_by="pip"),
    Rule(r"^torchrun --nproc_per_node=N$", "part of a command", shown_by="tests/bundles/test_several_processes.py"),
    Rule(r"^torchrun .*--nnodes", "two machines", shown_by=TWO_MACHINES),
    Rule(r"^sbatch ", "a cluster with Slurm", shown_by="tests/test_slurm_examples.py"),
    Rule(r"^torchrun ", "two processes stand for more", replace={r"--nproc_per_node=\d+": "--nproc_per_node=2"}),
    # ---- MONAI's tools at the bundles' own sizes ------------------------------------------------------------------
    Rule(
        r"monai\.bundle (verify_net_in_out|ckpt_export|onnx_export) ",
        "the metadata are of the full size",
        shown_by="tests/bundles/test_exports.py",
    ),
    Rule(
        r"monai_cl export \S+ --format (timm|nnunet)\b",
        "a network that the trainings of this folder do not have",
        shown_by="tests/cli/test_export.py",
    ),
    Rule(r"^nnUNetv2_train ", "nnU-Net", shown_by="tests/cli/test_export.py"),
    Rule(r"--tracking mlflow", "needs MLflow", shown_by="tests/bundles/test_tracking.py"),
    Rule(r"--tracking wandb", "needs Weights & Biases", shown_by="tests/bundles/test_wandb.py"),
    Rule(
        r"--pretrained_encoder runs/(dynunet|tiny)/model\.pt|--checkpoint runs/tiny_spleen/model\.pt",
        "the bundles of this folder have a size of their own, which the file's would replace",
        replace={"$": " --feature_size 8"},
    ),
    Rule(
        r"VoCo_B_SSL_head\.pt",
        "a file of others",
        shown_by="tests/networks/foreign/test_published.py::test_a_whole_encoder_of_a_swin_unetr_is_taken_whole",
    ),
    # ---- studies ------------------------------------------------------------------------------------------------
    Rule(r"monai_cl study \w+ tiny_synthetic\b", "two minutes", shown_by="tests/study/test_shipped.py"),
    Rule(r"monai_cl study run \w+( --output \S+)?$", "hours", shown_by="tests/study/test_shipped.py"),
    Rule(
        r"^python benchmarks/setting_change\.py",
        "its paths are the project's",
        replace={r"^python (\S+) (\S+)": r"PYTHONPATH=$ROOT python $ROOT/\1 $ROOT/\2"},
    ),
    Rule(
        r"phantom cine .*--patients 40",
        "more patients than a run of few steps sees",
        replace={r"--patients 40 --validation 2 --test 15": "--patients 4 --validation 2 --test 1"},
    ),
    Rule(
        r"--iterations 400 --epoch_length 20",
        "minutes",
        replace={r"--iterations 400 --epoch_length 20": "--iterations 4 --epoch_length 2"},
    ),
    Rule(
        r"^python benchmarks/pair_weights\.py",
        "finished runs with shuffled positions",
        shown_by="tests/bundles/test_meta_label_run.py::test_right_and_wrong_pairs_of_a_run_are_told_apart",
    ),
    Rule(
        r"^python benchmarks/scaling\.py",
        "its sizes take a minute",
        replace={r"^python (\S+)": r"PYTHONPATH=$ROOT python $ROOT/\1 --volumes 50 --slices 10 --entries 5"},
    ),
    Rule(
        r"^python benchmarks/inverse_labels\.py",
        "a real scan; a minute",
        shown_by="tests/test_benchmarks.py::test_labels_from_scores_are_compared_on_a_scan",
    ),
    Rule(
        r"python benchmarks/start_time\.py",
        "minutes",
        shown_by="tests/test_benchmarks.py::test_a_start_is_measured_by_the_processor_time_of_a_fresh_process",
    ),
    Rule(
        r"^python benchmarks/plan_memory\.py",
        "a minute",
        replace={
            r"^python (\S+).*$": r"PYTHONPATH=$ROOT python $ROOT/\1 --patch 64 48 48 --batch 1 --overrides "
            r"""'{"backbone": "segresnet", "feature_size": 8}'"""
        },
    ),
    Rule(
        r"^python benchmarks/(gpu_step|engine_speed)\.py",
        "a GPU; minutes",
        shown_by="tests/test_benchmarks.py::test_a_benchmark_runs_and_leaves_its_record",
    ),
    Rule(
        r"^python benchmarks/bundle_pictures\.py",
        "writes into the checkout",
        replace={r"^python (\S+)": r"PYTHONPATH=$ROOT python $ROOT/\1 --output pictures"},
    ),
    Rule(
        r"python benchmarks/slice_batches\.py",
        "minutes",
        replace={r"^(.*python )(\S+) .*$": r"PYTHONPATH=$ROOT \1$ROOT/\2 --patients 66 --size 64 --batches 3"},
    ),
    Rule(
        r"^python benchmarks/spacing_limit\.py",
        "real data",
        shown_by="tests/test_benchmarks.py::test_a_label_brought_to_a_spacing_and_back_loses_what_is_smaller_than_a_voxel",
    ),
    Rule(
        r"^python benchmarks/real_depth\.py",
        "real data",
        shown_by="tests/test_real_data.py::test_depth_is_predicted_for_unseen_patients",
    ),
    Rule(
        r"^python benchmarks/real_clustering\.py",
        "real data",
        shown_by="tests/test_benchmarks.py::test_the_study_of_codes_on_real_images_runs_to_its_file",
    ),
    Rule(
        r"^python -m tests\.bad_input\.document$",
        "writes into the checkout",
        shown_by="tests/bad_input/test_bad_input.py",
    ),
    Rule(r"^python benchmarks/paper_size_step\.py", "7 GiB", shown_by="tests/bundles/test_paper_size.py"),
    Rule(r"^python data_lists/idc_series\.py", "a script, which runs as it stands"),
    Rule(r"^pip uninstall edt$", "changes the environment", shown_by="tests/transforms/test_region_distance.py"),
    # ---- sizes and data -----------------------------------------------------------------------------------------
    Rule(
        r"datalist add my_liver_5folds\.json",
        "scans that have come since",
        replace={
            r"^": r"for part in ct seg; do "
            r"cp /data/my_liver/$part/spleen_0001.nii.gz /data/my_liver/$part/later.nii.gz; done; "
        },
    ),
    Rule(r"validate data_lists/", "the scans are their owners'", status=2),
    Rule(r"monai_cl doctor\b", "what it finds depends on the machine", replace={"$": " || test $? -eq 1"}),
)


def rule_for(command: str) -> Rule | None:
    """The first rule that matches, or None."""
    return next((rule for rule in RULES if re.search(rule.pattern, command)), None)


def runs_without_a_rule(command: str) -> bool:
    """Whether a command is one of ours, an example in Python, or an assignment and nothing else."""
    assignment = r"""[A-Za-z_]+=("[^"]*"|'[^']*'|\$\(.*\)|\S*)$"""
    return bool(
        re.match(rf"python -m (monai_cl|monai\.bundle) |python - <<|{assignment}|export |cd |mkdir |ls |cat ", command)
    )
