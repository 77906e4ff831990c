"""Bundles and data lists by name, from any folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_cl import shipped
from monai_cl.cli.commands import main
from tests.bundles.conftest import BUNDLES, SPLEEN


@pytest.fixture
def said(capsys, tmp_path, monkeypatch):
    """``said("bundle", "path", …)``: what a command prints, run in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> str:
        main([str(word) for word in words])
        return capsys.readouterr().out

    return run


def test_every_bundle_is_listed_with_its_task(said):
    lines = said("bundle", "list").splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())
    for line in lines:
        name, _, task = line.partition("  ")
        metadata = json.loads((BUNDLES / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
        assert task.strip() == metadata["task"]


def test_a_bundle_and_a_list_have_a_path(said):
    assert said("bundle", "path", SPLEEN) == f"{BUNDLES / SPLEEN}\n"
    assert said("datalist", "path", "msd_spleen") == f"{BUNDLES.parent / 'data_lists' / 'msd_spleen.json'}\n"
    assert said("datalist", "path", "msd_spleen.json") == said("datalist", "path", "msd_spleen")
    assert json.loads(Path(said("bundle", "schema").strip()).read_text(encoding="utf-8"))["$schema"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bundle", "path", "spleen_unet_segmentation"), f"no such bundle; did you mean {SPLEEN}?"),
        (("bundle", "copy", "xyz", "mine"), "'xyz': no such bundle; there are btcv_unetr_segmentation, "),
        (("datalist", "path", "msd_heart"), "'msd_heart': no such data list; did you mean msd_"),
        (("datalist", "path", "schema"), "'schema': no such data list"),
        (("bundle", "copy", SPLEEN, "."), ".: exists already; choose another name"),
    ],
)
def test_a_wrong_name_is_answered_with_a_right_one(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_copy_is_the_bundle_without_what_runs_have_left(said, tmp_path, monkeypatch):
    for name in ("configs/metadata.json", "configs/train.yaml", "docs/models/a.md", "models/model.pt", "store/x.b2nd"):
        file = tmp_path / "package" / "bundles" / "mine" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "package")
    said("bundle", "copy", "mine", tmp_path / "there" / "copied")
    copied = {path.relative_to(tmp_path / "there" / "copied").as_posix() for path in (tmp_path / "there").rglob("*.*")}
    assert copied == {"configs/metadata.json", "configs/train.yaml", "docs/models/a.md"}


def test_an_installed_package_has_them_inside_and_a_checkout_beside(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "monai_cl"
    package.mkdir(parents=True)
    monkeypatch.setattr(shipped, "PACKAGE", package)
    assert shipped.shipped_folder("bundles") == tmp_path / "site-packages" / "bundles"
    assert shipped.bundle_names() == []
    (package / "bundles" / "mine" / "configs").mkdir(parents=True)
    (package / "bundles" / "mine" / "configs" / "metadata.json").write_text("{}")
    assert shipped.bundle_folder("mine") == package / "bundles" / "mine"
    assert shipped.is_installed(package / "bundles" / "mine" / "models")
    assert not shipped.is_installed(tmp_path / "bundles")
