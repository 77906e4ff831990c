"""What a run checks first, and how it reports to the user what is wrong: in one line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from monai_cl.engines import Invocation, bundle_root, cosine_schedule, preflight, shipped_list
from monai_cl.engines.launch.error_report import user_error_in
from monai_cl.engines.launch.failures import lost_process_in
from monai_cl.engines.launch.startup import check_places
from monai_cl.errors import UserError


@pytest.fixture
def as_a_run(tmp_path, monkeypatch):
    """This process as ``monai.bundle run`` on a config with one key; a function to add options."""
    path = tmp_path / "configs" / "train.yaml"
    path.parent.mkdir()
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)

    def start(*words: str, config: str = "train") -> None:
        file = path.with_name(f"{config}.yaml")
        file.write_text("seed: 0\n" + ("" if config == "inference" else "train: {}\n"))
        monkeypatch.setattr(sys, "argv", ["monai.bundle", "run", "--config_file", str(file), *words])

    start()
    return start


def shown(error: BaseException, capsys) -> list[str]:
    """Lines a user sees of an error that ends the process."""
    sys.excepthook(type(error), error, error.__traceback__)
    return capsys.readouterr().err.splitlines()


def raised(function, *causes: BaseException) -> BaseException:
    """The error a function raises, wrapped in others as MONAI's parser does."""
    try:
        function()
    except Exception as error:
        for wrapper in causes:
            try:
                raise wrapper from error
            except Exception as outer:
                error = outer
        return error
    raise AssertionError("nothing was raised")


def user_error():
    raise UserError("list.json: expected a file, found a folder")


def test_a_user_error_is_one_line_however_often_it_is_wrapped(as_a_run, capsys):
    preflight()
    error = raised(user_error, RuntimeError("Failed to instantiate\nmany\nlines"), RuntimeError("Failed to evaluate"))
    assert shown(error, capsys) == ["error: list.json: expected a file, found a folder"]


def test_an_error_while_handling_a_user_error_shows_the_user_error(as_a_run):
    def handle():
        try:
            user_error()
        except UserError:
            raise KeyError("x")  # noqa: B904

    assert str(user_error_in(raised(handle))).startswith("list.json")


def test_a_message_of_several_lines_becomes_one(as_a_run, capsys):
    preflight()
    assert shown(UserError("a.nii.gz: damaged\n  block 3\n"), capsys) == ["error: a.nii.gz: damaged block 3"]


class _Broken(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise UserError("case_7.nii.gz: damaged; fetch it again")


def test_an_error_in_a_loaders_worker_is_one_line_without_its_traceback(as_a_run, capsys):
    preflight()
    error = raised(lambda: list(torch.utils.data.DataLoader(_Broken(), num_workers=1)))
    assert shown(error, capsys) == ["error: case_7.nii.gz: damaged; fetch it again"]


def test_an_option_that_the_package_refuses_is_one_line(as_a_run, capsys):
    from monai_cl.networks import MixCLNet

    preflight()
    error = raised(lambda: MixCLNet(img_size=50), RuntimeError("Failed to instantiate ConfigComponent"))
    assert shown(error, capsys) == [
        "error: patch_size must be three multiples of 16, at least 32 voxels, got [50, 50, 50]"
    ]


def test_other_errors_keep_their_traceback(as_a_run, capsys):
    preflight()
    lines = shown(raised(lambda: torch.zeros(2) @ torch.zeros(3)), capsys)
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("RuntimeError")


def test_a_value_error_of_another_package_keeps_its_traceback(as_a_run, capsys):
    preflight()
    assert shown(raised(lambda: int("x")), capsys)[0].startswith("Traceback")


def test_a_value_error_inside_a_training_step_keeps_its_traceback(as_a_run, capsys):
    from ignite.engine import Engine

    from monai_cl.losses import MixCLLoss

    engine = Engine(lambda engine, batch: MixCLLoss()({}, {}))
    preflight()
    assert shown(raised(lambda: engine.run([0])), capsys)[0].startswith("Traceback")


def test_preflight_refuses_a_misspelt_key(as_a_run):
    as_a_run("--sead", "1")
    with pytest.raises(UserError, match="did you mean --seed"):
        preflight()


@pytest.mark.parametrize(("config", "joins"), [("train", True), ("my_config", True), ("inference", False)])
def test_several_processes_are_offered_the_config_that_joins_them_where_there_is_a_trainer(
    as_a_run, monkeypatch, config, joins
):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    as_a_run(config=config)
    with pytest.raises(UserError, match="run without torchrun") as error:
        preflight()
    assert ("multi_gpu_train.yaml" in str(error.value)) == joins


def test_preflight_outside_a_run_changes_nothing(monkeypatch):
    before = sys.excepthook
    preflight()
    assert sys.excepthook is before


def test_a_schedules_error_is_found_through_its_wrappers():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    error = raised(lambda: cosine_schedule(optimizer, iterations=3, warmup=4), RuntimeError("a"), RuntimeError("b"))
    assert isinstance(user_error_in(error), UserError)


def test_an_error_that_is_its_own_context_does_not_hang():
    error = ValueError("x")
    error.__cause__ = error
    assert user_error_in(error) is None


def test_a_bundle_s_root_is_the_folder_of_its_config(as_a_run, tmp_path):
    (tmp_path / "configs" / "metadata.json").write_text("{}")
    assert bundle_root("spleen_unetr_segmentation") == str(tmp_path)


def test_without_a_run_the_root_is_the_current_bundle_or_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bundle_root("spleen_unetr_segmentation").endswith("bundles/spleen_unetr_segmentation")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text("{}")
    assert bundle_root("spleen_unetr_segmentation") == str(tmp_path)


def test_an_unknown_bundle_is_refused_with_the_folders_looked_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"bundle 'nothing': .*{tmp_path}.*pass --bundle_root"):
        bundle_root("nothing")


def test_shipped_lists_are_there_and_others_are_refused():
    assert shipped_list("msd_spleen").endswith("data_lists/msd_spleen.json")
    with pytest.raises(UserError, match="'msd_heart': no such data list; did you mean msd_"):
        shipped_list("msd_heart")


@pytest.fixture
def an_installed_run(tmp_path, monkeypatch):
    """A run of a bundle inside the installed package; a function to add options."""
    bundle = tmp_path / "site-packages" / "monai_cl" / "bundles" / "mine"
    (bundle / "configs").mkdir(parents=True)
    path = bundle / "configs" / "train.yaml"
    path.write_text(
        'bundle_root: $monai_cl.engines.bundle_root("mine")\n'
        'output_dir: $@bundle_root + "/models"\nstore_dir: $@bundle_root + "/store"\n'
    )
    monkeypatch.setattr("monai_cl.shipped.PACKAGE", bundle.parents[1])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)

    def start(*words: str, file: Path = path) -> None:
        monkeypatch.setattr(sys, "argv", ["monai.bundle", "run", "--config_file", str(file), *words])
        preflight()

    return start


def test_nothing_is_written_into_the_installed_package(an_installed_run):
    with pytest.raises(UserError, match=r"--output_dir FOLDER and --store_dir FOLDER, .* bundle copy mine FOLDER"):
        an_installed_run()
    with pytest.raises(UserError, match=r"where results go: --store_dir FOLDER, "):
        an_installed_run("--output_dir", "run")
    an_installed_run("--output_dir", "run", "--store_dir", "store")


def test_who_writes_into_the_store_alone_is_asked_for_that_alone(an_installed_run, tmp_path):
    file = str(tmp_path / "site-packages" / "monai_cl" / "bundles" / "mine" / "configs" / "train.yaml")
    with pytest.raises(UserError, match=r"where results go: --store_dir FOLDER, "):
        check_places(Invocation((file,), {}, ""), keys=("store_dir",))
    check_places(Invocation((file,), {"store_dir": "store"}, ""), keys=("store_dir",))


def test_a_config_elsewhere_with_its_root_in_the_installed_package_writes_nothing_there_either(
    an_installed_run, tmp_path
):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        f'bundle_root: {tmp_path / "site-packages/monai_cl/bundles/mine"}\noutput_dir: $@bundle_root + "/m"\n'
    )
    with pytest.raises(UserError, match="is part of the installed package"):
        an_installed_run(file=mine)
    an_installed_run("--bundle_root", str(tmp_path), file=mine)


def test_a_process_alone_has_none_to_lose():
    assert lost_process_in(RuntimeError("Connection closed by peer")) is None


def test_tracking_reports_nothing_to_mlflows_makers_unless_asked_to(as_a_run, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "")  # so that it is put back afterwards
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    preflight()
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ
    as_a_run("--tracking", "mlflow")
    preflight()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    preflight()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
