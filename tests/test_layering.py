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
LAYERS = ("data", "transforms", "networks", "losses", "engines", "report", "serving", "study")
# what any layer may use
COMMON = {
    "errors",
    "files",
    "jobs",
    "locks",
    "names",
    "processes",
    "compat",
    "addressing",
    "shipped",
    "switches",
    "mixcl_views",
    "_lazy",
    "_version",
}
MAY_IMPORT = {
    "transforms": set(),
    "data": {"transforms"},
    "networks": set(),
    "losses": set(),
    "engines": {"data", "transforms", "networks", "losses"},
    "report": {"data", "transforms", "networks", "losses"},
    "study": {"data", "transforms", "networks", "losses", "engines", "report"},
    "serving": {"data", "transforms", "networks", "losses", "engines"},
}
# inside a layer: each package imports only from rows above its own
INNER = {
    "data": (
        {"grid"},
        {"dicom", "sampling", "records"},
        {"io", "patches"},
        {"datalist"},
        {"store", "phantom"},
        {"slices"},
        {"boxes"},
    ),
    "engines": (
        {"recipes", "training_options", "workflow_types"},
        {
            "launch",
            "probe",
            "doctor",
            "schedule",
            "larc",
            "accumulation",
            "model_input",
            "transferred_parts",
            "exporting",
        },
        {"distributed", "pretrained"},
        {"handlers", "overlap", "prepared_lists"},
        {"evaluation", "planning", "segmentation", "preview"},
        {"checkpoints"},
        {"mixcl", "slices"},
        {"classification"},
        {"scans"},
        {"embedding"},
    ),
}
FULL = 21  # files in one folder: a reader still takes them in at a glance


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


def public_names(package: str) -> dict[str, str]:
    """Name -> the module it comes from, for a package with lazily exported names."""
    path = PACKAGE.joinpath(*package.split(".")[1:]) / "__init__.py"
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    tables = [n.args[1] for n in calls if isinstance(n.func, ast.Name) and n.func.id == "lazy_exports"]
    return {
        name: f"{package}.{module}" for t in tables for module, names in ast.literal_eval(t).items() for name in names
    }


def module_of(file: Path) -> str:
    return ".".join(["monai_cl", *file.relative_to(PACKAGE).with_suffix("").parts])


def module_imports(file: Path) -> set[str]:
    """Modules of this project that a file needs: also late, for types alone, or through a lazily exported name."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module)
            folder = PACKAGE.joinpath(*module.split(".")[1:])
            names = public_names(module) if module.startswith("monai_cl.") and folder.is_dir() else {}
            for alias in node.names:
                inside = (folder / f"{alias.name}.py").is_file() or (folder / alias.name).is_dir()
                found.add(names.get(alias.name) or (f"{module}.{alias.name}" if inside else module))
    return {name for name in found if name.startswith("monai_cl.")} - {module_of(file)}


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Modules that cannot be put in an order in which each comes after what it imports."""
    left = {name: needs & graph.keys() for name, needs in graph.items()}
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    return sorted(left)


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


@pytest.mark.parametrize("layer", INNER)
def test_a_package_inside_a_layer_imports_only_what_stands_above_it(layer):
    rank = {name: number for number, row in enumerate(INNER[layer]) for name in row}
    wrong = []
    for file in files(layer):
        own = file.relative_to(PACKAGE / layer).with_suffix("").parts[0]
        if own == "__init__":
            continue
        for name in module_imports(file):
            parts = name.split(".")
            if len(parts) > 2 and parts[1] == layer and parts[2] != own and rank[parts[2]] >= rank[own]:
                wrong.append(f"{module_of(file)} imports {name}")
    assert not wrong
    there = {p.name for p in (PACKAGE / layer).iterdir() if p.is_dir()} - {"__pycache__"}
    assert there | {p.stem for p in (PACKAGE / layer).glob("[!_]*.py")} == set(rank)


def test_no_two_files_import_each_other_in_a_circle():
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"a"}}) == ["a", "b", "c"]  # c hangs on the circle
    assert circles({"a": set(), "b": {"a"}, "c": {"a", "b"}}) == []
    assert circles({module_of(file): module_imports(file) for file in PACKAGE.rglob("*.py")}) == []


def test_no_folder_holds_more_files_than_one_looks_through():
    counts = {folder: len(list(folder.glob("*.py"))) for folder in [PACKAGE, *PACKAGE.rglob("*")] if folder.is_dir()}
    assert {folder: count for folder, count in counts.items() if count > FULL} == {}


def test_every_module_belongs_to_a_layer_or_is_known_at_the_top():
    top = {path.stem for path in PACKAGE.glob("*.py")}
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"} == {*LAYERS, "cli"}
    assert {name for name in top if not name.startswith("_")} == {*COMMON, "demo"} - {"_lazy", "_version"}


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
    names = {
        "app",
        "classification_task",
        "segmentation_task",
        "server",
        "strategies",
        "studies",
        "training_task",
        "web",
    }
    assert importing == {PACKAGE / "serving" / f"{name}.py" for name in names}


def test_nobody_imports_the_command_line():
    outside = [file for layer in LAYERS for file in files(layer)] + [PACKAGE / f"{name}.py" for name in sorted(COMMON)]
    for file in outside:
        assert not {name for name, _ in imports(file) if (inner(name) or "").startswith(("cli", "demo"))}, file


def test_the_command_line_imports_layers_inside_functions_only():
    for file in (PACKAGE / "cli").rglob("*.py"):
        early = {name for name, at_top in imports(file) if at_top}
        assert not {inner(name) for name in early} & set(LAYERS), file
        assert {name.split(".")[0] for name in early} <= set(sys.stdlib_module_names) | {"monai_cl"}, file


@pytest.mark.parametrize("layer", LAYERS)
def test_no_public_name_is_the_name_of_a_module_beside_it(layer):
    # once such a module has been imported it hides the function
    package = importlib.import_module(f"monai_cl.{layer}")
    assert not set(package.__all__) & {module.name for module in pkgutil.iter_modules(package.__path__)}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_public_name_can_be_imported_twice(layer):
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
        "import monai_cl.compat, monai_cl.files, monai_cl.locks",
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
