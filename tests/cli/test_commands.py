"""``python -m monai_cl``: help for everything, one line for a user's mistake, and what the commands leave."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_cl.cli.commands import Commands, main
from monai_cl.cli.words import check_words, find_command
from monai_cl.errors import UserError
from monai_cl.networks import MixCLNet

GROUPS = {"bundle", "datalist", "encoder", "store", "study"}
COMMANDS = sorted(name for name in dir(Commands) if not name.startswith("_") and name not in GROUPS)
SUBCOMMANDS = sorted(
    (group, name)
    for group in {*GROUPS, "phantom"}
    for name in dir(getattr(Commands, group))
    if not name.startswith("_")
)


def run(*arguments: object) -> int:
    """A command; its exit status."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def text_of(capsys) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err  # Fire shows help on stderr


def test_the_commands_of_the_design_are_there():
    design = {"demo", "phantom", "prepare", "export_encoder", "export_config", "report"}
    assert design <= set(COMMANDS)
    assert {("datalist", name) for name in ("create", "validate", "split", "subset", "summary")} <= set(SUBCOMMANDS)


@pytest.mark.parametrize("command", [(name,) for name in COMMANDS] + SUBCOMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example_that_it_would_take(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*command, "--help") == 0
    shown = text_of(capsys)
    assert "DESCRIPTION" in shown or "SYNOPSIS" in shown
    assert "python -m monai_cl " + " ".join(command) in shown
    assert not any(tmp_path.iterdir())
    assert examples(command)
    for words in examples(command):
        assert tuple(words[: len(command)]) == command
        check_words(Commands(), words)


def test_the_front_page_names_every_command(capsys):
    assert run("--help") == 0
    shown = text_of(capsys)
    for name in [*COMMANDS, *GROUPS]:
        assert name in shown, name
    assert "monai.bundle run" in shown


MISTAKES = [
    (["report", "nowhere"], "nowhere"),
    (["export_encoder", "nowhere.pt"], "nowhere.pt: no such checkpoint"),
    (["export_config", "spleen", "mine.yaml"], "spleen/configs/train.yaml: no such config"),
    (["export_config", "spleen_unetr_segmentation", "mine.yaml", "--iteration", "1"], "did you mean --iterations?"),
    (["prepare", "nowhere.json"], "nowhere.json"),
    (["phantom", "new", "--cases", "0"], "cases must be >= 1, got 0"),
    (["datalist", "validate", "nowhere.json"], "nowhere.json"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else ""
)
def test_a_users_mistake_is_one_line_and_status_two(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].startswith("error: ")
    assert message in error[0]
    assert not any(tmp_path.iterdir())


def test_as_a_process_it_ends_the_same_way(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "monai_cl", "report", "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["phantoms"], "error: phantoms: no such command; did you mean phantom?"),
        (["datalist", "creat", "x"], "error: creat: no such command of datalist; did you mean create?"),
        (["zzz"], "error: zzz: no such command; there are bundle, "),
    ],
)
def test_an_unknown_command_is_refused(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not any(tmp_path.iterdir())


def examples(command: tuple[str, ...]) -> list[list[str]]:
    """The command lines in a command's help, from the name of the command on."""
    _, function = find_command(Commands(), list(command))
    text = (inspect.getdoc(function) or "").replace("\\\n", " ")
    found = re.findall(r"^ .*python -m monai_cl (.+?)\)?$", text, flags=re.MULTILINE)
    return [shlex.split(line) for line in found]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # Fire would write the cohort first and report the error then
        (
            ["phantom", "--output", "new", "--case", "3"],
            "error: --case: phantom has no such option; did you mean --cases?",
        ),
        (["phantom", "new", "3", "--zzz=1"], "--zzz: phantom has no such option; it has --output, --cases"),
        (["phantom", "new", "3"], "error: 3: phantom does not take it"),
        (["datalist", "summary", "list.json", "--dataroot", "x"], "datalist summary has no such option"),
        (["demo", "--quik"], "did you mean --quick?"),
    ],
)
def test_an_unknown_option_is_refused_before_anything_runs(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["no", "0", "yes", ""])
def test_a_word_that_is_not_a_bool_does_not_switch_an_option_on(word, capsys, tmp_path):
    listed = {"name": "scans", "training": [{"image": f"{i}.nii.gz"} for i in range(4)]}
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(listed), encoding="utf-8")
    before = (tmp_path / "b.json").read_bytes()
    assert run("datalist", "split", tmp_path / "a.json", tmp_path / "b.json", "--folds", 2, "--overwrite", word) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --overwrite: expected True or False, found {word!r}")
    assert (tmp_path / "b.json").read_bytes() == before


@pytest.mark.parametrize("word", ["true", "True", "--overwrite=true"])
def test_a_switch_is_what_its_word_says(word, capsys, tmp_path):
    listed = {"name": "scans", "training": [{"image": f"{i}.nii.gz"} for i in range(4)]}
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(listed), encoding="utf-8")
    split = ("datalist", "split", tmp_path / "a.json", tmp_path / "b.json", "--folds", 2)
    before = (tmp_path / "b.json").read_bytes()
    for off in (("--overwrite", "false"), ("--overwrite=False",)):
        assert run(*split, *off) == 2
        assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "b.json").read_bytes() == before
    assert run(*split, *([word] if "=" in word else ["--overwrite", word])) == 0
    assert (tmp_path / "b.json").read_bytes() != before


BOOLEANS = [
    (command, parameter.name)
    for command in [(name,) for name in COMMANDS] + SUBCOMMANDS
    for parameter in inspect.signature(find_command(Commands(), list(command))[1]).parameters.values()
    if isinstance(parameter.default, bool)
]


@pytest.mark.parametrize(("command", "option"), BOOLEANS, ids=lambda value: value if isinstance(value, str) else "")
def test_no_command_takes_a_word_for_a_switch(command, option, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = inspect.signature(find_command(Commands(), list(command))[1]).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    assert run(*command, *needed, f"--{option.replace('_', '-')}=no") == 2
    assert f"--{option}: expected " in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "prepare 2024",
        "prepare list.json --data_root 2024 --splits 5",
        "datalist split 2024 out.json",
        "datalist split list.json out.json --data_root 2024 --stratify target",
        "datalist subset 2024 25",
        "datalist validate 2024",
        "datalist summary 2024 2025",
        "datalist create 2024",
        "datalist create . --images 5",
        "datalist create . --organs 5",
        "datalist from_table 2024 2025 --scans 2026 --patient 1 --value 2",
        "export_encoder 2024",
        "export_config 2024 2025",
        "probe 2024",
        "dicom_seg 1 2 --organs 5",
        "monailabel 1 2",
        "store verify 2024",
        "report 2024",
    ],
)
def test_a_number_in_place_of_a_name_is_a_name(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text('{"name": "scans", "training": [{"image": "a.nii.gz"}]}', encoding="utf-8")
    assert run(*line.split()) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["list.json"]


@pytest.mark.parametrize("word", ["2024", "1.20", "1e3", "True", "[1]", "it's 1", "'1'"])
def test_a_text_is_taken_as_it_is_typed(word, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("datalist", "validate", word)
    alone = capsys.readouterr().err
    run("datalist", "validate", f"--path={word}")
    assert capsys.readouterr().err == alone
    assert alone.startswith(f"error: data list {word.strip(chr(39))}: no such file")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("probe x.npz --fold_count a", "--fold_count: expected an integer, found 'a'"),
        ("prepare x.json --workers", "--workers: expected an integer, found nothing after it"),
        ("prepare x.json --workers True", "--workers: expected an integer, found 'True'"),
        ("prepare x.json --store --workers 2", "--store: expected a value, found nothing after it"),
        ("phantom x 3", "3: phantom does not take it"),
        ("phantom x --spacing wide", "--spacing: expected a number, found 'wide'"),
        ("demo --seed 1.5", "--seed: expected an integer, found '1.5'"),
    ],
)
def test_a_value_of_another_kind_is_refused(line, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*line.split()) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


class Sample:
    """Commands of every shape."""

    @staticmethod
    def plain(first, second=1, *, flag: bool = False, some_name=None): ...

    @staticmethod
    def many(*values, flag: bool = False): ...

    @staticmethod
    def sure(first, sure: bool = False): ...

    @staticmethod
    def free(first, **overrides): ...


@pytest.mark.parametrize(
    "words",
    [
        "plain 1",
        "plain 1 2 --flag",
        "plain 1 --second 2 --some-name x --noflag",
        "plain --first=1 --second=-3",
        "plain -f 1",
        "plain 1 -3",
        "many a b c --flag",
        "many",
        "free 1 --anything 2",
        "plain 1 -- --trace",
        "plain 1 2 --flag True --some_name 2",
        "plain 1 --flag=False",
        "many a -f",
        "free 1 --noflag x",
        "sure 1 True",
        "sure 1 --sure",
        "-- --completion",
        "",
    ],
)
def test_words_with_a_place_pass(words):
    check_words(Sample, words.split())


@pytest.mark.parametrize(
    "words",
    [
        "plain 1 2 3",
        "plain --first 1 2 3",
        "plain 1 --flagg",
        "many a --flog x",
        "free 1 2",
        "plain 1 --sec 2",
        "plain 1 --flag 2",
        "plain --flag x.json",
        "plain 1 --flag=no",
        "plain 1 --noflag x",
        "plain 1 --noflag=True",
        "many a -f no",
        "sure 1 yes",
        "sure --first 1 yes",
        "nothing --of --ours",
        "plan 1",
    ],
)
def test_words_without_a_place_are_refused(words):
    with pytest.raises(UserError):
        check_words(Sample, words.split())


def test_an_interrupt_ends_without_a_traceback(capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_cl.report.write_report", interrupted)
    assert run("report", "x") == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_phantom_writes_a_cohort_and_refuses_a_folder_with_files(capsys, tmp_path):
    assert run("phantom", "--output", tmp_path / "cohort", "--cases", 1, "--spacing", 12) == 0
    shown = capsys.readouterr().out
    for name in ("pretraining.json", "target.json", "spleen.json"):
        assert (tmp_path / "cohort" / name).is_file()
        assert name in shown
    before = sorted(path for path in (tmp_path / "cohort").rglob("*"))
    assert run("phantom", "--output", tmp_path / "cohort", "--cases", 1, "--spacing", 12) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err
    assert sorted(path for path in (tmp_path / "cohort").rglob("*")) == before


def test_export_encoder_writes_the_weights_and_what_they_are(capsys, tmp_path):
    network = MixCLNet(img_size=32, feature_size=4, hidden_size=12, mlp_dim=12, num_heads=2)
    torch.save({"network": network.state_dict(), "iteration": 1, "epoch": 1}, tmp_path / "model.pt")
    encoder = tmp_path / "encoder.pt"
    assert run("export_encoder", tmp_path / "model.pt", "--output", encoder) == 0
    assert str(encoder) in capsys.readouterr().out
    assert all(name.startswith(("vit.", "encoder")) for name in torch.load(encoder, weights_only=True))
    assert json.loads(encoder.with_suffix(".json").read_text(encoding="utf-8"))["checkpoint"] == str(
        tmp_path / "model.pt"
    )


def test_export_encoder_of_something_else_writes_nothing(capsys, tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.pt")
    assert run("export_encoder", tmp_path / "model.pt", "--output", tmp_path / "encoder.pt") == 2
    assert "no UNETR encoder to export" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_export_config_writes_a_config_with_its_overrides(capsys, tmp_path):
    path = tmp_path / "mine.yaml"
    assert run("export_config", "spleen_unetr_segmentation", path, "--config", "evaluate", "--iterations", 500) == 0
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["iterations"] == 500
    assert "evaluation_dir" in content


def test_commands_print_through_the_helper_that_escapes():
    """A bare ``print`` is left to paths that other commands read, the completion script, and errors, escaped there."""
    package = Path(inspect.getfile(Commands)).parents[1]
    lines = [
        line.strip()
        for file in (*package.glob("cli/*.py"), package / "demo.py")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    bare = {line.split("(")[1].split(")")[0] for line in lines if line.startswith("print(")}
    exact = {"bundle_folder", "METADATA_SCHEMA", "list_file", "completion_script"}
    assert bare == exact | {'f"error: {escape_control_characters', '"interrupted", file=sys.stderr'}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_quick_demonstration_runs_to_its_report(tmp_path, capfd):
    assert run("demo", "--output", tmp_path / "demo", "--quick") == 0
    shown = capfd.readouterr().out
    results = json.loads((tmp_path / "demo" / "results.json").read_text(encoding="utf-8"))
    assert results["kind"] == "demo"
    assert len(results["findings"]) == 4  # two organs, SupCon and WSP
    for line in results["findings"]:
        assert line in shown
    organs, slices = results["studies"]["demo_organs"], results["studies"]["demo_slices"]
    assert {row["arm"] for row in organs} == {"scratch", "pre-trained"}
    assert {row["arm"] for row in slices} == {"random", "SupCon", "WSP"}
    for row in [*organs, *slices]:
        assert 0 <= row["mean"] <= 1
        assert row["cases"] == (24 if row in slices else 1)
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "synthetic" in page.lower()
    for name in ("kidneys, scratch, seed 0", "spleen, pre-trained, seed 1", "WSP"):
        assert name in page
    assert run("study", "table", tmp_path / "demo" / "demo_organs.yaml", "--output", tmp_path / "demo") == 0
    assert "8 of 8 places measured" in capfd.readouterr().out  # two organs, two arms, two seeds
    # a second call does no step again
    before = {path: path.stat().st_mtime_ns for path in Path(tmp_path / "demo").rglob("model.pt")}
    assert run("demo", "--output", tmp_path / "demo", "--quick") == 0
    assert {path: path.stat().st_mtime_ns for path in Path(tmp_path / "demo").rglob("model.pt")} == before
