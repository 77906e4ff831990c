"""The command line ``python -m monai_cl``: thin functions; their dependencies are imported when they run."""

from __future__ import annotations

import sys
from typing import Any

from monai_cl._version import __version__
from monai_cl.cli.ahead.preview import preview_command
from monai_cl.cli.bundle import BundleCommands, datalist_path_command
from monai_cl.cli.completion import completion_script
from monai_cl.cli.convert import convert_command
from monai_cl.cli.datalist import DataListCommands
from monai_cl.cli.demo import demo_command
from monai_cl.cli.dicom_seg import dicom_seg_command
from monai_cl.cli.disk.runs import runs_command
from monai_cl.cli.disk.store import list_command, prune_command
from monai_cl.cli.doctor import doctor_command
from monai_cl.cli.from_table import datalist_from_table_command
from monai_cl.cli.monailabel import monailabel_command
from monai_cl.cli.plan import plan_command
from monai_cl.cli.prepare import prepare_command, repair_command, verify_command
from monai_cl.cli.probe import probe_command
from monai_cl.cli.reference_energy import reference_energy_command
from monai_cl.cli.report import report_command
from monai_cl.cli.study import StudyCommands
from monai_cl.cli.synthetic import cohort_command, phantom_command
from monai_cl.cli.weights.embed import embed_command
from monai_cl.cli.weights.encoder import EncoderCommands
from monai_cl.cli.weights.export import export_command
from monai_cl.cli.words import check_words, help_words, typed_words
from monai_cl.errors import UserError, echo, escape_control_characters


def export_encoder_command(checkpoint: str, output: str = "encoder.pt", *, parts: str = "encoder") -> None:
    """Write the encoder of a pre-training run under the key names of MONAI's UNETR, with a JSON file that describes it.

    Example:
        python -m monai_cl export_encoder runs/pretraining/model.pt --output encoder.pt

    Args:
        checkpoint: model.pt or checkpoint_iteration=N.pt of a MixCL pre-training; results.json is read beside it.
        output: file to write; the JSON file is written beside it.
        parts: encoder, or encoder,decoder or encoder,decoder,heads; see docs/fine_tuning.md for what they are good for.
    """
    from pathlib import Path

    from monai_cl.data.records.model_record import record_of_results
    from monai_cl.data.records.results import read_results
    from monai_cl.engines.transferred_parts import check_parts
    from monai_cl.networks import export_encoder

    about: dict[str, Any] = {"checkpoint": str(checkpoint)}
    file, record = Path(checkpoint).parent / "results.json", None
    if file.is_file():
        results = read_results(file)
        record = record_of_results(results)
        about |= {
            k: results.get(k) for k in ("bundle", "name", "created", "seed", "iterations", "git_commit", "versions")
        }
        about["data_list"] = results["data_list"]
        about["config"] = results["config"]
    path = export_encoder(checkpoint, output, parts=check_parts(parts, option="--parts"), about=about, record=record)
    echo(f"wrote {path} and {path.with_suffix('.json')}")


def export_config_command(bundle: str, output: str, *, config: str = "train", **overrides: Any) -> None:
    """Write the config of a bundle as one file, overlays and overrides merged in, to keep or to edit.

    Example:
        python -m monai_cl export_config spleen_unetr_segmentation my_train.yaml --iterations 500

    Args:
        bundle: a bundle's name or folder.
        output: YAML or JSON file to write; an existing file is refused.
        config: train, evaluate, inference or multi_gpu_train; overlays are merged over train.
        overrides: values to replace, as on the bundle's own command line.
    """
    from monai_cl.engines.launch.exported_config import export_config

    echo(f"wrote {export_config(bundle, output, config=config, overrides=overrides)}")


def completion_command(shell: str = "bash") -> None:
    """Print a script that makes the shell complete the commands and options of `monai_cl`.

    `monai_cl` is what pip installs for `python -m monai_cl`; the shell completes programs, not modules.

    Example:
        source <(python -m monai_cl completion bash)

    Args:
        shell: bash or fish.
    """
    print(completion_script(Commands(), str(shell)))


class StoreCommands:
    """Look at a store of prepared volumes, check it, repair it, and free what no list needs."""

    list = staticmethod(list_command)
    prune = staticmethod(prune_command)
    verify = staticmethod(verify_command)
    repair = staticmethod(repair_command)


class ListCommands(DataListCommands):
    """Make, check and divide data lists."""

    from_table = staticmethod(datalist_from_table_command)
    path = staticmethod(datalist_path_command)


class Commands:
    """Contrastive pre-training for CT that uses the labels you already have.

    Training and inference run as MONAI bundles:
    python -m monai.bundle run --config_file "$(python -m monai_cl bundle path NAME)/configs/train.yaml"

    --version tells the version. Switches stand alone (--overwrite, --nooverwrite) or take true or false; other
    words are refused. The exit status is 0 when done, 2 for a mistake that is reported in one line; docs/exit_codes.md
    lists all of them.
    """

    doctor = staticmethod(doctor_command)
    demo = staticmethod(demo_command)
    bundle = BundleCommands()
    phantom = phantom_command
    cirrhosis = property(lambda _: cohort_command("write_cirrhosis_cohort"))
    datalist = ListCommands()
    convert = staticmethod(convert_command)
    plan = staticmethod(plan_command)
    preview = staticmethod(preview_command)
    prepare = staticmethod(prepare_command)
    store = StoreCommands()
    reference_energy = staticmethod(reference_energy_command)
    probe = staticmethod(probe_command)
    embed = staticmethod(embed_command)
    study = StudyCommands()
    export_encoder = staticmethod(export_encoder_command)
    export = staticmethod(export_command)
    encoder = EncoderCommands()
    export_config = staticmethod(export_config_command)
    dicom_seg = staticmethod(dicom_seg_command)
    report = staticmethod(report_command)
    runs = staticmethod(runs_command)
    completion = staticmethod(completion_command)
    monailabel = staticmethod(monailabel_command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a `UserError` is printed as one line, exit status 2.

    Args:
        arguments: the words after ``python -m monai_cl``; None: those of this process.
    """
    import fire

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a character that the terminal's encoding lacks
    words, commands = sys.argv[1:] if arguments is None else arguments, Commands()
    if list(words) == ["--version"]:
        return echo(__version__)
    try:
        shown = help_words(commands, words)
        if shown is None:
            check_words(commands, words)
            words = typed_words(commands, words)
        fire.Fire(commands, command=shown or words, name="python -m monai_cl")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        print(f"error: {escape_control_characters(refusal)}", file=sys.stderr)
        sys.exit(2)


def _refusal(error: BaseException | None) -> UserError | None:
    """The user's error, also where a config's function raised it and MONAI's parser raised its own from that."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error
