"""``python -m tests.install``: the distributions in clean environments, and what they say of themselves.

Two environments are made, each deleted again. One has the wheel with what it requires; in the other the packages of a
bundle's ``required_packages_version`` are installed, and nothing else is asked for. In each, commands and a bundle run
on a phantom, far from the checkout. The result replaces the table of ``docs/clean_install.md``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "clean_install.md"
BUNDLE = "spleen_unetr_segmentation"
SMALL = ["--feature_size", "4", "--hidden_size", "48", "--mlp_dim", "96", "--num_heads", "4"]
NETWORKS = """
import sys
from monai.bundle import ConfigParser
from monai_cl.shipped import bundle_folder

for name in sys.argv[1:]:
    config = ConfigParser.load_config_file(bundle_folder(name) / "configs" / "inference.yaml")
    ConfigParser(config).get_parsed_content("network")
"""
HEADER = "| date | commit | Python | environment | torch | what passed |"


class Environment:
    """A virtual environment in a folder of its own; commands run in an empty folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self._variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)

    def install(self, *words: object) -> None:
        """``pip install``, with the versions of ``constraints.txt``."""
        self.run("-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", *words)

    def run(self, *words: object) -> str:
        """What Python prints; ends the program where it fails."""
        print("+", *words, flush=True)
        done = subprocess.run(
            [str(self.python), *map(str, words)], cwd=self.work, env=self._variables, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(
                f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
            )
        return done.stdout.strip()


def distributions(folder: Path) -> tuple[Path, Path]:
    """(wheel, source distribution) of a copy of the tracked files, checked by twine."""
    source = folder / "source"
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT).decode().split("\0")
    for name in filter(None, names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    tools = Environment(folder / "tools")
    tools.install("--upgrade", "build", "twine", "setuptools", "wheel")
    tools.run("-m", "build", "--no-isolation", "--outdir", folder / "dist", source)
    (wheel,), (sdist,) = (list((folder / "dist").glob(ending)) for ending in ("*.whl", "*.tar.gz"))
    tools.run("-m", "twine", "check", "--strict", wheel, sdist)
    shutil.rmtree(folder / "tools")
    return wheel, sdist


def use(environment: Environment) -> list[str]:
    """Run what an installation must do; returns what was run, in words."""
    environment.run("-m", "monai_cl", "--help")
    names = [line.split()[0] for line in environment.run("-m", "monai_cl", "bundle", "list").splitlines()]
    environment.run("-m", "monai_cl", "phantom", "--output", "cohort", "--cases", 2, "--spacing", 8)
    environment.run("-m", "monai_cl", "bundle", "copy", BUNDLE, "zoo/" + BUNDLE)
    environment.run("-m", "monai_cl", "bundle", "weights", "zoo/" + BUNDLE, "--random", *SMALL)
    code = f"import monai.bundle as b; print(type(b.load({BUNDLE!r}, bundle_dir='zoo', device='cpu')).__name__)"
    assert environment.run("-c", code).splitlines()[-1] == "UNETR"
    scan = environment.work / "cohort" / "synthetic_spleen" / "images" / "spleen_0000.nii.gz"
    config = environment.work / "zoo" / BUNDLE / "configs" / "inference.yaml"
    options = ["--datalist", json.dumps([str(scan)]), "--output_dir", "maps"]
    environment.run("-m", "monai.bundle", "run", "--config_file", config, *options)
    assert (environment.work / "maps" / "spleen_0000_seg.nii.gz").is_file()
    # the other bundles: what their configs name can be imported, and their networks be built
    environment.run("-c", NETWORKS, *names)
    return ["--help, bundle list, phantom, copy, weights", "monai.bundle.load", "inference", f"{len(names)} networks"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.install", description=__doc__)
    parser.add_argument("--only", choices=("wheel", "bundle"), help="one of the two environments")
    only = parser.parse_args().only
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
    commit += " and changes" if subprocess.check_output([*git, "status", "--porcelain", "-uno"]) else ""
    rows = []
    with tempfile.TemporaryDirectory(prefix="monai_cl_install_") as name:
        folder = Path(name)
        wheel, _ = distributions(folder)
        for kind in ("wheel", "bundle") if only is None else (only,):
            environment = Environment(folder / kind)
            if kind == "wheel":
                environment.install(wheel)
            else:
                metadata = json.loads((ROOT / "bundles" / BUNDLE / "configs" / "metadata.json").read_text())
                versions = {**metadata["required_packages_version"], "monai": metadata["monai_version"]}
                versions |= {"torch": metadata["pytorch_version"], "numpy": metadata["numpy_version"]}
                pins = [f"{package}=={version}" for package, version in versions.items()]
                environment.install("--find-links", wheel.parent, *pins)
            passed = "; ".join(use(environment))
            torch = environment.run("-c", "import torch; print(torch.__version__)")
            date, python = datetime.date.today().isoformat(), sys.version.split()[0]
            what = "the wheel" if kind == "wheel" else "required_packages_version"
            rows.append(f"| {date} | {commit} | {python} | {what} | {torch} | {passed} |")
            shutil.rmtree(folder / kind)
    text = PAGE.read_text(encoding="utf-8")
    before = text.partition(HEADER)[0].replace("It has not been run yet.\n", "")
    PAGE.write_text(f"{before}{HEADER}\n{'| --- ' * 6}|\n" + "\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
