"""The page on architecture agrees with the code: picture, tables, paths, and the way from a config to its loss."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.commands import ROOT
from tests.test_layering import COMMON, INNER, LAYERS, MAY_IMPORT, public_names

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PRETRAINING = sorted(ROOT.glob("bundles/*_pretraining"))
_SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Box:
    """A rectangle of the picture: its id, its class and its edges."""

    name: str
    kind: str
    left: float
    top: float
    right: float
    bottom: float

    def has_on_its_edge(self, x: float, y: float) -> bool:
        inside = self.left <= x <= self.right and self.top <= y <= self.bottom
        return inside and (x in (self.left, self.right) or y in (self.top, self.bottom))

    def holds(self, other: Box) -> bool:
        return (
            self.left < other.left and self.top < other.top and self.right > other.right and self.bottom > other.bottom
        )


def numbers(element: ElementTree.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


@pytest.fixture(scope="module")
def picture() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "docs" / "architecture.svg").getroot()


@pytest.fixture(scope="module")
def boxes(picture) -> list[Box]:
    found = []
    for rect in picture.iter(f"{_SVG}rect"):
        if "id" in rect.attrib:
            x, y, width, height = numbers(rect, "x", "y", "width", "height")
            found.append(Box(rect.attrib["id"], rect.attrib["class"], x, y, x + width, y + height))
    return found


def test_the_arrows_of_the_picture_are_those_that_are_held(picture, boxes):
    drawn: dict[str, set[str]] = {box.name: set() for box in boxes if box.kind == "package"}
    for line in picture.iter(f"{_SVG}line"):
        x1, y1, x2, y2 = numbers(line, "x1", "y1", "x2", "y2")
        (start,) = [box for box in boxes if box.has_on_its_edge(x1, y1)]
        (end,) = [box for box in boxes if box.has_on_its_edge(x2, y2)]
        if line.attrib["class"] == "imports":
            inner = [box for box in boxes if box.kind == "package" and end.holds(box)]
            drawn[start.name] |= {box.name for box in inner} if end.kind == "frame" else {end.name}
        else:
            assert (line.attrib["class"], start.name, end.name) == ("names", "bundles", "all-layers")
    assert drawn == {**MAY_IMPORT, "cli": set(LAYERS)}


def test_every_box_of_the_picture_bears_its_name(picture, boxes):
    texts = [(*numbers(text, "x", "y"), text.text) for text in picture.iter(f"{_SVG}text")]
    for box in boxes:
        words = [text for x, y, text in texts if box.left < x < box.right and box.top < y < box.bottom]
        if box.kind == "package":
            assert words[0] == box.name
        elif box.name == "common":
            assert set(words[-1].split(" · ")) == {name for name in COMMON if not name.startswith("_")}


@pytest.mark.parametrize("layer", INNER)
def test_the_rows_inside_a_layer_are_those_that_are_held(layer):
    table = re.search(rf"^\| row \| in `monai_cl/{layer}` \|\n\| ---.*\n((?:\|.*\n)+)", PAGE, re.M)
    rows = {int(row[2:].split()[0]): set(re.findall(r"`(\w+)`:", row)) for row in table[1].splitlines()}
    assert rows == dict(enumerate(INNER[layer], start=1))


def test_every_path_on_the_page_exists():
    paths = {code for code in re.findall(r"`([\w./*-]+)`", PAGE) if "/" in code}
    assert len(paths) > 30
    assert {path for path in paths if not list(ROOT.glob(path))} == set()


def innermost_losses(config: Any) -> Iterator[str]:
    """Names out of `monai_cl.losses` that are a ``_target_`` in a config and do not wrap another loss."""
    inner = list(config.values()) if isinstance(config, dict) else config if isinstance(config, list) else []
    for part in inner:
        yield from innermost_losses(part)
    # what has a loss as an option, here or as a reference, only passes tensors on to it
    if isinstance(config, dict) and str(config.get("_target_")).startswith("monai_cl.losses.") and "loss" not in config:
        yield config["_target_"].removeprefix("monai_cl.losses.")


def losses_of(bundle: Path) -> list[tuple[Path, str]]:
    """(config, public name of its loss) for every config of a bundle that names one."""
    files = sorted((bundle / "configs").rglob("*.yaml"))
    return [(file, n) for file in files for n in innermost_losses(yaml.safe_load(file.read_text(encoding="utf-8")))]


def test_a_loss_is_found_within_what_wraps_it():
    loss = {"_target_": "monai_cl.losses.GatheredLoss", "loss": {"_target_": "monai_cl.losses.WSPLoss", "sigma": 0.1}}
    assert list(innermost_losses({"a": [loss], "b": {"_target_": "torch.nn.Linear"}})) == ["WSPLoss"]
    assert list(innermost_losses({"_target_": "monai_cl.losses.GatheredLoss", "loss": "@criterion"})) == []


@pytest.mark.parametrize("bundle", PRETRAINING, ids=lambda bundle: bundle.name)
def test_a_reader_walks_from_a_config_to_its_loss_in_three_files(bundle):
    """Config → table of public names → the file with the class and the function that it calls."""
    found = losses_of(bundle)
    assert found
    for config, name in found:
        module = ROOT.joinpath(*public_names("monai_cl.losses")[name].split(".")).with_suffix(".py")
        files = {config, ROOT / "monai_cl" / "losses" / "__init__.py", module}
        tree = ast.parse(module.read_text(encoding="utf-8"))
        (loss,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
        called = {node.id for node in ast.walk(loss) if isinstance(node, ast.Name)}
        here = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if not called & here:  # the class only passes its tensors on
            froms = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
            files |= {
                f"{n.module}.{a.name}" for n in froms if "monai_cl" in n.module for a in n.names if a.name in called
            }
        assert len(files) <= 3, f"{name}: {sorted(map(str, files))}"


def test_the_page_shows_the_walk_that_the_files_give():
    walk = re.search(r"\*\*From a config to its loss\*\*.*?(?=\n\*\*)", PAGE, re.S)[0]
    config = ROOT / re.search(r"`(bundles/\S+\.yaml)`", walk)[1]
    ((file, name),) = [loss for loss in losses_of(config.parents[1]) if loss[0] == config]
    module = public_names("monai_cl.losses")[name]
    assert f"`{file.relative_to(ROOT).as_posix()}`: `loss` has `_target_: monai_cl.losses.{name}`" in walk
    assert f"`{module.replace('.', '/')}.py`" in walk
