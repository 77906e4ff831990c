"""The distributions that `python -m build` makes: what is in them, and that the wheel works far from a checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import monai_cl
from tests.bundles.conftest import TINY, words

ROOT = Path(__file__).resolve().parents[1]
# what git ignores
UNTRACKED = (
    ".git",
    ".venv*",
    "__pycache__",
    "runs",
    "build",
    "dist",
    "*.egg-info",
    ".*_cache",
    ".hypothesis",
    "mlruns",
)
RESULTS = ("models", "eval", "store")
SPLEEN = "spleen_unetr_segmentation"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the checkout; in one of its bundles a run has left its model."""
    folder = tmp_path_factory.mktemp("source") / "monai_cl"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*UNTRACKED))
    for bundle in (folder / "bundles").iterdir():
        for name in RESULTS:
            shutil.rmtree(bundle / name, ignore_errors=True)
    return folder


@pytest.fixture(scope="module")
def built(source) -> tuple[Path, Path]:
    """(wheel, sdist): the wheel is made from the sdist."""
    pytest.importorskip("build", reason="building the distributions needs the package build (extra test)")
    model = source / "bundles" / SPLEEN / "models" / "model.pt"
    model.parent.mkdir()
    model.write_bytes(b"weights")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source.parent / "dist"), str(source)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=250, cwd=source.parent)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    shutil.rmtree(model.parent)
    for name in ("build", "monai_cl.egg-info"):
        shutil.rmtree(source / name, ignore_errors=True)
    (wheel,), (sdist,) = (list((source.parent / "dist").glob(ending)) for ending in ("*.whl", "*.tar.gz"))
    return wheel, sdist


def test_the_wheel_has_the_package_its_bundles_and_its_lists_and_nothing_else(built, source):
    with zipfile.ZipFile(built[0]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {f"monai_cl/{name}" for name in files(source / "monai_cl")} | {"monai_cl/constraints.txt"}
    for folder in ("bundles", "data_lists", "studies"):
        expected |= {f"monai_cl/{folder}/{name}" for name in files(source / folder)}
    assert names == expected


def test_the_source_distribution_is_the_checkout(built, source):
    with tarfile.open(built[1]) as archive:
        top = {member.name.split("/")[0] for member in archive.getmembers()}
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert top == {f"monai_cl-{monai_cl.__version__}"}
    made = {name for name in names if name == "PKG-INFO" or ".egg-info/" in name or name == "setup.cfg"}
    assert names - made == files(source) - {".gitignore", "setup.cfg"}
    assert {"PKG-INFO", "setup.cfg"} <= made


def test_the_wheel_says_its_version_its_licence_and_what_it_needs(built):
    assert built[0].name == f"monai_cl-{monai_cl.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(built[0]) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode("utf-8")
    assert f"\nVersion: {monai_cl.__version__}\n" in metadata
    assert "\nLicense: Apache-2.0\n" in metadata
    assert "\nRequires-Dist: monai<1.7,>=1.6.1\n" in metadata


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Callable[..., subprocess.CompletedProcess]:
    """``installed("-m", "monai_cl", …)``: Python of a new environment with the wheel, in an empty folder."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # the dependencies are those of this environment; its own .pth files, such as of an editable monai_cl, are not read
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", code], env=environment, encoding="utf-8").strip())
    (site / "dependencies.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*install, "--ignore-installed", str(built[0])], check=True, env=environment, timeout=200)
    empty = folder / "elsewhere"
    empty.mkdir()

    def run(*arguments: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(python), *map(str, arguments)],
            cwd=empty,
            env={**environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            encoding="utf-8",
            timeout=280,
        )

    run.site, run.folder = site, empty
    return run


def output(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.strip()


@pytest.mark.slow
def test_the_wheel_finds_its_bundles_and_lists_by_name(installed):
    package = installed.site / "monai_cl"
    assert Path(output(installed("-c", "import monai_cl; print(monai_cl.__file__)"))).parent == package
    listed = output(installed("-m", "monai_cl", "bundle", "list")).splitlines()
    assert [line.split()[0] for line in listed] == sorted(path.name for path in (ROOT / "bundles").iterdir())
    assert output(installed("-m", "monai_cl", "bundle", "path", SPLEEN)) == str(package / "bundles" / SPLEEN)
    shipped = output(installed("-m", "monai_cl", "datalist", "path", "msd_spleen"))
    assert Path(shipped) == package / "data_lists" / "msd_spleen.json"
    assert json.loads(Path(shipped).read_text(encoding="utf-8"))["name"]
    assert Path(output(installed("-m", "monai_cl", "bundle", "schema"))).parent == package


@pytest.mark.slow
def test_a_bundle_trains_and_segments_out_of_the_wheel_and_leaves_it_as_it_was(installed):
    before = files(installed.site)
    output(installed("-m", "monai_cl", "phantom", "--output", "cohort", "--cases", 5, "--spacing", 8))
    configs = Path(output(installed("-m", "monai_cl", "bundle", "path", SPLEEN))) / "configs"
    data = {"dataset_dir": "cohort", "data_list": "cohort/spleen.json", "num_workers": 0, "prepare_workers": 1}
    options = words({**data, **TINY, "iterations": 2, "epoch_length": 2, "overlay_cases": 0})
    train = ("-m", "monai.bundle", "run", "--config_file", configs / "train.yaml", *options)
    refused = installed(*train)
    assert refused.returncode != 0
    assert "is part of the installed package" in refused.stderr.splitlines()[-1]
    output(installed(*train, "--output_dir", "run", "--store_dir", "store"))
    assert json.loads((installed.folder / "run" / "results.json").read_text(encoding="utf-8"))["iterations"] == 2
    scan = installed.folder / "cohort" / "synthetic_spleen" / "images" / "spleen_0000.nii.gz"
    options = words({**TINY, "datalist": [str(scan)], "checkpoint": "run/model.pt", "output_dir": "maps"})
    output(installed("-m", "monai.bundle", "run", "--config_file", configs / "inference.yaml", *options))
    written = sorted(path.name for path in (installed.folder / "maps").iterdir())
    assert written == ["spleen_0000_seg.json", "spleen_0000_seg.nii.gz"]  # the map and its record
    assert {name for name in files(installed.site) - before if "__pycache__" not in name} == set()


@pytest.mark.slow
def test_a_copied_bundle_keeps_its_own_models(installed):
    output(installed("-m", "monai_cl", "bundle", "copy", SPLEEN, "mine"))
    data = {"dataset_dir": "cohort", "data_list": "cohort/spleen.json", "num_workers": 0, "prepare_workers": 1}
    if not (installed.folder / "cohort").is_dir():
        output(installed("-m", "monai_cl", "phantom", "--output", "cohort", "--cases", 5, "--spacing", 8))
    options = words({**data, **TINY, "iterations": 1, "epoch_length": 1, "overlay_cases": 0})
    output(installed("-m", "monai.bundle", "run", "--config_file", "mine/configs/train.yaml", *options))
    assert (installed.folder / "mine" / "models" / "model.pt").is_file()
