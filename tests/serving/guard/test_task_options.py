"""A task gets the options that it has, with values of their type, and nothing else of a request."""

from __future__ import annotations

import pytest

from monai_cl.serving.guard.routes import ROUTES, find_route
from monai_cl.serving.guard.task_options import OPTIONS, check_left_out, task_options


def test_what_a_task_does_not_have_is_left_out():
    sent = {"image": "x", "bundle_path": "x", "session": {}, "tracking": "mlflow", "run_id": "x", "max_epochs": 3}
    assert task_options("train", sent) == {"max_epochs": 3}


def test_what_is_left_out_is_not_a_path_either():
    for value in ("../evil", ["a", "/etc"], {"a": {"b": "~x"}}, {"../a": 1}):
        with pytest.raises(ValueError, match=r"^other: expected plain names, got "):
            check_left_out("sample", {"other": value})
    check_left_out("sample", {"other": "", "more": [1, None, {"a": "plain"}], "client_id": "reader 1/2"})


def test_the_first_of_a_list_and_nothing_empty_as_viewers_send_them():
    sent = {"device": ["cpu", "cuda"], "model_filename": ["model.pt"], "gpus": "", "max_epochs": None, "val_split": []}
    assert task_options("train", sent, devices=("cpu",)) == {"device": "cpu", "model_filename": "model.pt"}


def test_texts_become_their_types():
    sent = {"max_epochs": "2", "val_split": "0.25", "pretrained": "False", "multi_gpu": True, "logging": "info"}
    expected = {"max_epochs": 2, "val_split": 0.25, "pretrained": False, "multi_gpu": True, "logging": "INFO"}
    assert task_options("train", sent) == expected


def test_lists_stay_where_a_list_is_meant():
    sent = {"images": ["a", "b"], "label_info": [{"name": "spleen", "idx": 1, "color": [1, 2, 3]}]}
    assert task_options("batch", sent) == sent


@pytest.mark.parametrize(
    ("task", "key", "value", "expected"),
    [
        ("train", "device", "moon", "one of cpu, cuda"),
        ("train", "max_epochs", 0, "an integer from 1"),
        ("train", "max_epochs", 1.5, "an integer from 1"),
        ("train", "max_epochs", True, "an integer from 1"),
        ("train", "max_epochs", 1e300, "an integer from 1"),
        ("train", "max_epochs", float("inf"), "an integer from 1"),
        ("train", "max_epochs", "$__import__('os')", "an integer from 1"),
        ("train", "val_split", 1, "a number from 0 to below 1"),
        ("train", "val_split", {}, "a number from 0 to below 1"),
        ("train", "pretrained", "maybe", "true or false"),
        ("train", "pretrained", {}, "true or false"),
        ("train", "gpus", "0;rm", "all, or numbers of GPUs with commas between"),
        ("infer", "model_filename", "../other.pt", "the name of a .pt file"),
        ("infer", "model_filename", "training", "the name of a .pt file"),
        ("infer", "result_extension", "/../evil.nrrd", "one of .nii.gz"),
        ("infer", "result_dtype", "object", "one of uint8"),
        ("infer", "logging", "LOUD", "one of DEBUG"),
        ("infer", "label_tag", "../evil", "a plain name"),
        ("infer", "label_info", {"name": "x"}, "a list such as"),
        ("infer", "label_info", [{"name": 1}], "a list such as"),
        ("infer", "label_info", [{"name": "x", "idx": "y"}], "a list such as"),
        ("batch", "images", "all", "a list of names"),
        ("batch", "images", ["/etc/passwd"], "a list of names"),
        ("scoring", "simulation_size", 1, "an integer from 2"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(task, key, value, expected):
    with pytest.raises(ValueError, match=rf"^{key}: expected {expected}.*, got "):
        task_options(task, {key: value}, devices=("cpu", "cuda"))


def test_every_route_with_options_has_a_table():
    assert {route.options for route in ROUTES if route.options} == set(OPTIONS)


def test_a_route_is_found_with_the_values_in_its_path():
    route, values = find_route("POST", ["train", "spleen"])
    assert (route.path, values) == ("/train/{trainer}", {"trainer": "spleen"})
    route, values = find_route("GET", ["model", "info", "spleen"])
    assert (route.path, values) == ("/model/info/{model}", {"model": "spleen"})
    assert find_route("GET", ["train", "spleen"]) is None
    assert find_route("POST", ["reload"]) is None
