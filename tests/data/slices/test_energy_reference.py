"""The reference of energy bands: which images it measures, what it refuses, and the command that writes it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from monai_cl.cli.reference_energy import reference_energy_command
from monai_cl.data import measure_energies, read_energy_reference, write_energy_reference
from monai_cl.errors import UserError
from monai_cl.transforms import spectrum

SIZE, SIGMAS, WINDOW = 16, (1.0, 2.0, 4.0, 8.0), (-160.0, 240.0)
RUN = {"modalities": ["CT", "MR"], "size": SIZE, "window": WINDOW}


class Slices:
    """Stands for `CTSlices`: 30 slices of CT in three scans, 20 of MR in one."""

    modalities, prepared_as = ("CT", "MR"), {"size": SIZE, "window": WINDOW, "pixel_size": None}

    def __init__(self, counts: dict[str, tuple[int, ...]] | None = None) -> None:
        counts = {"CT": (10, 10, 10), "MR": (20,)} if counts is None else counts
        self._addresses = [
            (name, f"{name}{k}/{name}{k}/{middle}")
            for name, parts in counts.items()
            for k, count in enumerate(parts)
            for middle in range(count)
        ]

    def addresses(self) -> list[tuple[str, str]]:
        return self._addresses

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(index))}


@pytest.fixture
def file(tmp_path):
    slices = Slices()
    return write_energy_reference(tmp_path / "energy.json", slices, measure_energies(slices), seed=0)


def test_energies_are_the_mean_and_deviation_over_the_images_of_each_modality(file):
    found = read_energy_reference(file, **RUN)
    assert (found.size, found.sigmas, set(found.modalities)) == ((SIZE, SIZE), SIGMAS, {"CT", "MR"})
    for name, rows in (("CT", range(30)), ("MR", range(30, 50))):
        energies = torch.stack([spectrum(Slices()[i]["image"].double(), SIGMAS).energies for i in rows])
        np.testing.assert_allclose(found.modalities[name].mean, energies.mean(dim=0).numpy())
        np.testing.assert_allclose(found.modalities[name].std, energies.std(dim=0, correction=0).numpy())


def test_the_choice_is_by_the_hash_of_each_image_whatever_else_is_in_the_list():
    few = measure_energies(Slices(), images=20, seed=3)
    assert few == measure_energies(Slices(), images=20, seed=3)
    assert few["CT"] != measure_energies(Slices(), images=20, seed=4)["CT"]
    assert [entry["images"] for entry in few.values()] == [20, 20]
    assert few["MR"] == measure_energies(Slices(), seed=9)["MR"]  # all 20 either way


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match=r"modality MR: expected 20 training images or more, found 19; add images"):
        measure_energies(Slices({"CT": (20,), "MR": (19,)}))
    with pytest.raises(UserError, match="--images: expected 20 or more, found 5"):
        measure_energies(Slices(), images=5)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"size": 32}, "expected energies of slices with image_size 32, found 16"),
        ({"window": (0, 100)}, r"expected energies of slices with window \[0.0, 100.0\], found \[-160.0, 240.0\]"),
        ({"pixel_size": 0.5}, "expected energies of slices with pixel_size 0.5, found None"),
        ({"modalities": ["CT", "US"]}, "expected energies of the modality US, found those of CT, MR"),
    ],
)
def test_a_file_of_another_preparation_is_refused(file, run, message):
    with pytest.raises(UserError, match=message):
        read_energy_reference(file, **{**RUN, **run})


def test_a_file_of_other_bands_is_refused(file):
    file.write_text(json.dumps({**json.loads(file.read_text()), "sigmas": [1, 2, 4, 16]}))
    message = r"expected bands of sigma \[1.0, 2.0, 4.0, 8.0\], found \[1.0, 2.0, 4.0, 16.0\]"
    with pytest.raises(UserError, match=message):
        read_energy_reference(file, **RUN)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "other"}'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(UserError, match=r"e\.json: expected a reference file of energies, found another or a damaged"):
        read_energy_reference(tmp_path / "e.json", **RUN)
    with pytest.raises(UserError, match="found no such file; make one with `python -m monai_cl reference_energy"):
        read_energy_reference(tmp_path / "gone.json", **RUN)


def test_a_band_that_is_missing_is_refused(file):
    content = json.loads(file.read_text())
    content["modalities"]["CT"]["std"].pop()
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="damaged file"):
        read_energy_reference(file, **RUN)


def test_the_command_measures_training_images_alone(tmp_path, capsys):
    rng = np.random.default_rng(0)
    items: dict[str, list[dict]] = {"training": [], "validation": []}
    for number in range(24):
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(tmp_path / f"x{number}.png")
        items["validation" if number < 3 else "training"].append({"image": f"x{number}.png"})
    (tmp_path / "list.json").write_text(json.dumps({"name": "x", "modality": "XR", **items}))
    out = tmp_path / "energy.json"
    options = {"store": str(tmp_path / "store"), "image_size": SIZE}
    reference_energy_command(str(tmp_path / "list.json"), output=str(out), **options)
    assert "images 21 of XR" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["data_list"]["name"] == "x"
    assert len(content["data_list"]["sha256"]) == 64
    assert set(read_energy_reference(out, modalities=["XR"], size=SIZE, window=WINDOW).modalities) == {"XR"}
