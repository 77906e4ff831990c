"""The arrows of the design, read from the source: who may import whom, and what stays unimported until it is used."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import monai_cl

PACKAGE = Path(monai_cl.__file__).parent
LAYERS = ("data", "transforms", "networks", "losses", "engines", "report", "serving")
# what any layer may use
COMMON = {"errors", "_lazy", "_version"}
MAY_IMPORT = {
    "transforms": set(),
    "data": {"transforms"},
    "networks": set(),
    "losses": set(),
    "engines": {"data", "transforms", "networks", "losses"},
    "report": {"data", "transforms", "networks", "losses"},
    "serving": {"data", "transforms", "networks", "losses", "engines"},
}


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Absolute names of the modules a file imports, and whether at its top level (so: on import)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    package = ["monai_cl", *file.relative_to(PACKAGE).parts[:-1]]
    late = {id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.Lambda)) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # "from monai_cl import data" imports monai_cl.data
            names = [f"{module}.{a.name}" for a in node.names] if module == "monai_cl" else [module]
        else:
            continue
        for name in names:
            yield name, id(node) not in late


def files(layer: str) -> list[Path]:
    return sorted((PACKAGE / layer).rglob("*.py"))


def inner(name: str) -> str | None:
    """``monai_cl.data.store.volume_store`` -> ``data``; None for what is not ours."""
    parts = name.split(".")
    return parts[1] if parts[0] == "monai_cl" and len(parts) > 1 else None


def foreign(layer: str) -> set[str]:
    """Packages from outside the standard library and this project."""
    roots = {name.split(".")[0] for file in files(layer) for name, _ in imports(file)}
    return roots - set(sys.stdlib_module_names) - {"monai_cl"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_its_arrows_allow(layer):
    found = {
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in files(layer)
        for name, _ in imports(file)
        if (target := inner(name)) is not None and target not in COMMON | MAY_IMPORT[layer] | {layer}
    }
    assert not found


def test_every_module_belongs_to_a_layer_or_is_known_at_the_top():
    top = {path.stem for path in PACKAGE.glob("*.py")}
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"} == set(LAYERS)
    assert {name for name in top if not name.startswith(("_", "cli"))} == {"errors", "demo"}


def test_losses_know_torch_and_einops_alone():
    assert foreign("losses") <= {"torch", "einops"}


def test_networks_know_torch_einops_and_monais_networks_alone():
    assert foreign("networks") <= {"torch", "einops", "monai"}
    from_monai = {name for file in files("networks") for name, _ in imports(file) if name.split(".")[0] == "monai"}
    assert all(name.startswith("monai.networks") for name in from_monai), from_monai


def test_monai_label_is_imported_by_its_tasks_alone():
    # it lives in another environment
    importing = {
        file for file in PACKAGE.rglob("*.py") if any(n.split(".")[0] == "monailabel" for n, _ in imports(file))
    }
    names = {"app", "classification_task", "segmentation_task", "server", "training_task", "web"}
    assert importing == {PACKAGE / "serving" / f"{name}.py" for name in names}


def test_nobody_imports_the_command_line():
    outside = [file for layer in LAYERS for file in files(layer)] + [PACKAGE / "errors.py", PACKAGE / "_lazy.py"]
    for file in outside:
        assert not {name for name, _ in imports(file) if (inner(name) or "").startswith(("cli", "demo"))}, file


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("cli*.py")), ids=lambda file: file.stem)
def test_the_command_line_imports_layers_inside_functions_only(file):
    early = {name for name, at_top in imports(file) if at_top}
    ours = {inner(name) for name in early} - {None}
    assert not ours & set(LAYERS)
    assert {name.split(".")[0] for name in early} <= set(sys.stdlib_module_names) | {"monai_cl"}


@pytest.mark.parametrize("layer", LAYERS)
def test_no_public_name_is_the_name_of_a_module_beside_it(layer):
    # once such a module has been imported it stands where the function was
    package = importlib.import_module(f"monai_cl.{layer}")
    assert not set(package.__all__) & {module.name for module in pkgutil.iter_modules(package.__path__)}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_public_name_can_be_had_twice(layer):
    package = importlib.import_module(f"monai_cl.{layer}")
    for name in package.__all__:
        assert getattr(package, name) is getattr(package, name)
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "statement",
    [
        "import monai_cl",
        "import monai_cl.cli.commands",
        "import monai_cl.data.datalist.loading",
        "import monai_cl.data.records.results",
        "import monai_cl.engines, monai_cl.losses, monai_cl.networks, monai_cl.report, monai_cl.transforms",
        "import monai_cl.serving, monai_cl.serving.interpreter, monai_cl.serving.segment_values",
        "from monai_cl.cli.commands import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from monai_cl.cli.commands import main\ntry: main(['phantom', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_light_imports_leave_the_heavy_packages_alone(statement):
    heavy = (
        "torch",
        "monai",
        "ignite",
        "numpy",
        "scipy",
        "matplotlib",
        "SimpleITK",
        "itk",
        "nibabel",
        "blosc2",
        "sklearn",
        "monailabel",
        "torchvision",
    )
    code = f"{statement}\nimport sys\nprint('loaded:', *sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_the_package_tells_its_sub_packages_and_refuses_others():
    assert monai_cl.losses.__name__ == "monai_cl.losses"
    with pytest.raises(AttributeError, match="nonsense"):
        monai_cl.nonsense  # noqa: B018
