"""The command line of a bundle's run, taken apart as MONAI takes it."""

from __future__ import annotations

import sys

import pytest

from monai_cl.engines import invocation
from monai_cl.errors import UserError
from monai_cl.shipped import bundle_folder

CONFIG = "learning_rate: 0.1\niterations: 10\ntrain:\n  handlers: [a, b]\n"


@pytest.fixture
def config(tmp_path) -> str:
    path = tmp_path / "train.yaml"
    path.write_text(CONFIG)
    return str(path)


def call(*words: str):
    return invocation(["monai.bundle", "run", *words])


def test_overrides_are_values_as_fire_reads_them(config):
    found = call("--config_file", config, "--learning_rate", "0.5", "--spacing", "[1, 2.5]", "--preset", "paper")
    assert found.config_files == (config,)
    assert found.overrides == {"learning_rate": 0.5, "spacing": [1, 2.5], "preset": "paper"}


def test_equals_signs_and_negative_numbers_are_understood(config):
    found = call(f"--config_file={config}", "--window", "[-150,250]", "--shift=-3", "--fold", "-1")
    assert found.overrides == {"window": [-150, 250], "shift": -3, "fold": -1}


def test_hyphens_in_a_name_are_underscores_as_for_fire(config):
    assert call("--config-file", config, "--learning-rate", "1").overrides == {"learning_rate": 1}


def test_several_config_files_may_be_quoted_in_every_way(config):
    for text in (f"['{config}','{config}']", f'["{config}", "{config}"]', f"[{config},{config}]", f"{config},{config}"):
        assert call("--config_file", text).config_files == (config, config)


def test_what_monais_run_takes_itself_is_not_an_override(config):
    found = call(
        "--config_file", config, "--meta_file", "m.json", "--logging_file", "l.conf", "--init_id", "initialize"
    )
    assert found.overrides == {}


@pytest.mark.parametrize(
    "arguments", [["pytest", "tests"], ["monai.bundle", "run"], ["monai_cl", "prepare", "--data_list", "x"]]
)
def test_other_command_lines_are_none(arguments):
    assert invocation(arguments) is None


def test_this_process_is_not_a_run():
    assert invocation() is None


def test_this_process_s_own_command_line_is_the_default(config, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["monai.bundle", "run", "--config_file", config])
    assert invocation().config_files == (config,)


def test_the_merged_config_has_the_overrides_on_top(config, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("iterations: 20\nname: $@iterations + 1\n")
    found = call("--config_file", f"['{config}','{overlay}']", "--learning_rate", "1", "--train#handlers#1", "c")
    assert found.merged_config() == {
        "learning_rate": 1,
        "iterations": 20,
        "name": "$@iterations + 1",  # as written, not resolved
        "train": {"handlers": ["a", "c"]},
    }


@pytest.mark.parametrize("key", ["crops#size", "crops#0", "crops::size", "none#size", "train#handlers#x", "train#no#x"])
def test_a_nested_option_of_a_value_without_keys_is_refused(tmp_path, key):
    path = tmp_path / "train.yaml"
    path.write_text("crops: $@recipe['crops']\nnone: null\ntrain: {handlers: [a]}\n")
    above = key.replace("::", "#").rpartition("#")[0]
    with pytest.raises(
        UserError, match=f"--{key}: expected keys or a list below {above} of .*give --{above} as a whole"
    ):
        call("--config_file", str(path), f"--{key}", "5").merged_config()
    found = call("--config_file", str(path), "--crops", "{'count': 2}", "--crops#count", "5").merged_config()
    assert found["crops"] == {"count": 5}


@pytest.mark.parametrize("key", ["iterations", "train#handlers#0", "train::handlers", "_meta_#version"])
def test_keys_the_config_has_pass(config, key):
    call("--config_file", config, f"--{key}", "1").check_overrides()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("itertions", r"--itertions: .*train\.yaml has no key 'itertions'; did you mean --iterations\?"),
        ("trian#handlers", r"has no key 'trian'; did you mean --train\?"),
        ("zzz", "has no key 'zzz'; it has iterations, learning_rate, train"),
    ],
)
def test_a_typing_mistake_is_refused_with_the_nearest_key(config, key, message):
    with pytest.raises(UserError, match=message):
        call("--config_file", config, f"--{key}", "1").check_overrides()


def test_none_is_refused_where_monai_would_keep_the_configs_value(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("fold: 0\nencoder: null\n")
    with pytest.raises(
        UserError, match="--fold None: MONAI ignores such an option and 0 would stay; write --fold none"
    ):
        call("--config_file", str(path), "--fold", "None").check_overrides()
    call("--config_file", str(path), "--encoder", "None", "--fold", "none").check_overrides()


def test_keys_of_experiment_tracking_pass_with_it_alone(config, tmp_path):
    words = ("--config_file", config, "--experiment_name", "liver", "--run_name", "first")
    call(*words, "--tracking", "mlflow").check_overrides()
    with pytest.raises(UserError, match="has no key 'experiment_name'"):
        call(*words).check_overrides()
    settings = tmp_path / "settings.yaml"
    settings.write_text("handlers_id: {}\nconfigs: {server: none}\n")
    call("--config_file", config, "--server", "x", "--tracking", str(settings)).check_overrides()
    with pytest.raises(UserError, match="has no key 'experiment_name'"):
        call(*words, "--tracking", str(settings)).check_overrides()


def test_epochs_beside_iterations_are_refused_since_one_would_be_ignored(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("epochs: 2\nepoch_length: 5\niterations: $@epochs * @epoch_length\n")
    for words in (("--epochs", "3"), ("--iterations", "20"), ("--epochs", "3", "--epoch_length", "2")):
        call("--config_file", str(path), *words).check_overrides()
    with pytest.raises(UserError, match="--epochs 3: iterations is given as well and would be used"):
        call("--config_file", str(path), "--epochs", "3", "--iterations", "20").check_overrides()
    path.write_text("epochs: 2\niterations: 10\n")  # a config of the user's
    with pytest.raises(UserError, match="--epochs 3: iterations is given as well"):
        call("--config_file", str(path), "--epochs", "3").check_overrides()


@pytest.mark.parametrize("key", ["data_list", "encoder", "seed", "iterations", "store_dir"])
def test_an_option_whose_value_was_forgotten_is_refused(tmp_path, key):
    path = tmp_path / "train.yaml"
    path.write_text(
        "data_list: $monai_cl.engines.shipped_list('x')\ndataset_dir: .\nencoder: null\nseed: 0\n"
        "iterations: $@epochs * 2\nstore_dir: a/b\namp: $torch.cuda.is_available()\nresume_late: false\n"
    )
    for words in ((f"--{key}", "--dataset_dir", "/data"), ("--dataset_dir", "/data", f"--{key}"), (f"--{key}=",)):
        with pytest.raises(UserError, match=rf"--{key}: expected its value behind it, found none; write --{key} VALUE"):
            call("--config_file", str(path), *words).check_overrides()
    call("--config_file", str(path), "--amp", "--resume_late", "--dataset_dir", "/data").check_overrides()


def test_a_list_of_components_may_stand_for_an_object_of_options(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("views: {probability: 0.2}\n")
    for given in (
        "{'probability': 1.0}",
        "{'_target_': 'RandFlip'}",
        "[{'_target_': 'RandFlip'}, {'_target_': 'a.b'}]",
    ):
        call("--config_file", str(path), "--views", given).check_overrides()
    for given in ("[]", "[1]", "[{'probability': 1.0}]", "0.5", "paper"):
        with pytest.raises(UserError, match=r"--views: expected an object of options .*'probability': 0.2"):
            call("--config_file", str(path), "--views", given).check_overrides()


def test_options_in_a_file_count_and_those_of_the_command_line_replace_them(config, tmp_path):
    (tmp_path / "args.yaml").write_text(f"config_file: {config}\nlearning_rate: 0.5\niterations: 7\ntracking: mlflow\n")
    found = call("--args_file", str(tmp_path / "args.yaml"), "--iterations", "9")
    assert found.config_files == (config,)
    assert found.overrides == {"learning_rate": 0.5, "iterations": 9}
    assert found.tracking == "mlflow"
    (tmp_path / "args.json").write_text(f'{{"config_file": ["{config}", "{config}"], "itertions": 1}}')
    found = call("--args_file", str(tmp_path / "args.json"))
    assert found.config_files == (config, config)
    with pytest.raises(UserError, match=r"--itertions: .*did you mean --iterations"):
        found.check_overrides()


@pytest.mark.parametrize(("option", "value"), [("learning_rate", "fast"), ("epochs", "2.5"), ("classes_in_turn", "3")])
def test_a_value_of_a_recipe_is_of_the_kind_that_the_paper_s_has(option, value):
    config = str(bundle_folder("spleen_unetr_segmentation") / "configs" / "train.yaml")
    with pytest.raises(UserError, match=rf"--{option}: expected (a number|an integer|True or False) as in "):
        call("--config_file", config, f"--{option}", value).check_overrides()
    call("--config_file", config, "--learning_rate", "0.1", "--epochs", "2", "--warmup", "3").check_overrides()


@pytest.mark.parametrize("word", ["true", "False", "FALSE"])
@pytest.mark.parametrize(
    ("bundle", "config", "switch"),
    [
        ("spleen_unetr_segmentation", "train", "allow_overlap"),
        ("spleen_unetr_segmentation", "train", "allow_other_preprocessing"),
        ("cirrhosis_classification", "inference", "overwrite"),
    ],
)
def test_words_pass_for_switches_whose_readers_know_them(bundle, config, switch, word):
    file = str(bundle_folder(bundle) / "configs" / f"{config}.yaml")
    call("--config_file", file, f"--{switch}", word).check_overrides()
    with pytest.raises(UserError, match=rf"--{switch}: expected True or False as in .*, found 'yes'"):
        call("--config_file", file, f"--{switch}", "yes").check_overrides()


def test_words_are_refused_for_switches_whose_readers_take_them_for_texts():
    file = str(bundle_folder("spleen_unetr_segmentation") / "configs" / "train.yaml")
    with pytest.raises(UserError, match=r"--allow_outside: expected True or False as in .*, found 'false'"):
        call("--config_file", file, "--allow_outside", "false").check_overrides()


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        ("semi_supervised_segmentation", ("--labelled_scans", "['scan_a','scan_b']")),
        ("semi_supervised_segmentation", ("--labelled_views#crop_area", "[0.7, 1.0]")),
        ("wsp_ct_pretraining", ("--views::crop_area", "(0.5, 0.9)")),
    ],
)
def test_what_takes_a_number_or_several_values_is_given_either(bundle, words):
    file = str(bundle_folder(bundle) / "configs" / "train.yaml")
    call("--config_file", file, *words).check_overrides()
    with pytest.raises(UserError, match=r"expected .* found 'several'"):
        call("--config_file", file, words[0], "several").check_overrides()
