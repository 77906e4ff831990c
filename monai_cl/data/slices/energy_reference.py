"""The reference file of energy bands: measured on training images of each modality, written, and read by a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from monai_cl.errors import UserError
from monai_cl.files import write_atomically
from monai_cl.transforms import BandEnergies, EnergyReference, band_sigmas, spectrum

FORMAT = "monai_cl energy reference 1"
LEAST_IMAGES = 20
REMEDY = "make one with `python -m monai_cl reference_energy LIST --output energy.json` and the options of this run"


class EnergyImages(Protocol):
    """What energies are measured of: `CTSlices`, or `HeadBoxes`, each box as one image of many slices."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in the order of their numbers."""

    @property
    def prepared_as(self) -> dict[str, Any]:
        """How the images are prepared, as options of `preparation_of`."""

    def addresses(self) -> list[tuple[str, str]]:
        """Modality of each image, and what tells it from the others, whatever else is in the list."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A sample with its ``image`` (…, H, W)."""


def measure_energies(training: EnergyImages, *, images: int = 1000, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Energies of the bands of each modality's images; σ of the bands go by their size, see `band_sigmas`.

    Args:
        training: the training images; an energy of a volume is that of all its slices together.
        images: R, those of a modality that are measured, chosen by the hash of (seed, address); all where there are
            fewer.
        seed: of the choice.

    Returns:
        Modality -> ``mean`` and ``std`` of each band, ``images``.

    Raises:
        UserError: a modality of fewer than 20 images, or ``images`` below that.
    """
    if images < LEAST_IMAGES:
        raise UserError("--images", expected=f"{LEAST_IMAGES} or more", found=images)
    chosen: dict[str, list[tuple[str, int]]] = {name: [] for name in training.modalities}
    for index, (name, address) in enumerate(training.addresses()):
        chosen[name].append((hashlib.sha256(f"{seed}/{address}".encode()).hexdigest(), index))
    few = {name: len(members) for name, members in chosen.items() if len(members) < LEAST_IMAGES}
    if few:
        name = next(iter(few))
        raise UserError(
            f"modality {name}",
            expected=f"{LEAST_IMAGES} training images or more",
            found=few[name],
            remedy="add images" + (", or leave it out with --modalities" if len(chosen) > 1 else ""),
        )
    sigmas = band_sigmas(_shape(training.prepared_as["size"]))
    found = {}
    for name, members in chosen.items():
        taken = sorted(index for _, index in sorted(members)[:images])
        energies = []
        for index in tqdm(taken, desc=name, leave=False):
            image = training[index]["image"].double()
            energies.append(spectrum(image.reshape(-1, *image.shape[-2:]), sigmas).energies)
        each = torch.stack(energies)
        found[name] = {
            "mean": each.mean(dim=0).tolist(),
            "std": each.std(dim=0, correction=0).tolist(),
            "images": len(taken),
        }
    return found


def write_energy_reference(
    path: str | Path, training: EnergyImages, modalities: dict[str, dict[str, Any]], **about: Any
) -> Path:
    """Write what `measure_energies` found, whole or not at all.

    Args:
        path: of the JSON file.
        training: the images that were measured; how they are prepared goes into the file.
        modalities: see `measure_energies`.
        about: more about them, such as the hash of the list.
    """
    content = {
        "format": FORMAT,
        "preparation": preparation_of(**training.prepared_as),
        "sigmas": list(band_sigmas(_shape(training.prepared_as["size"]))),
        "modalities": modalities,
        **about,
    }
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return Path(path)


def preparation_of(
    size: int | Sequence[int],
    *,
    window: Sequence[float],
    pixel_size: float | None = None,
    find_head: bool = True,
) -> dict[str, Any]:
    """What the energies of prepared images depend on: two of them can be compared.

    Args:
        size: pixels of the side of slices, or (D, H, W) of boxes.
        window: of CT, HU.
        pixel_size: of slices, mm.
        find_head: of boxes.
    """
    bounds = [float(bound) for bound in window]
    if isinstance(size, int):
        return {"image_size": size, "pixel_size": pixel_size, "window": bounds}
    return {"box_size": [int(edge) for edge in size], "find_head": bool(find_head), "window": bounds}


def read_energy_reference(
    path: str | Path, *, modalities: Sequence[str], remedy: str = REMEDY, **prepared_as: Any
) -> EnergyReference:
    """Read a reference file for a run.

    Args:
        path: of the file.
        modalities: of the run.
        remedy: how such a file is made.
        **prepared_as: how the run prepares its images, see `preparation_of`.

    Raises:
        UserError: no such file, another or a damaged one; images of another kind, another size or another preparation,
            other σ, a modality that is not in it.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, expected="a reference file of energies", found="no such file", remedy=remedy)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(content["format"])
        stored, own_sigmas = dict(content["preparation"]), tuple(float(sigma) for sigma in content["sigmas"])
        energies = {
            str(name): BandEnergies(tuple(map(float, entry["mean"])), tuple(map(float, entry["std"])))
            for name, entry in content["modalities"].items()
        }
        counts = {len(numbers) for entry in energies.values() for numbers in (entry.mean, entry.std)}
        if counts != {len(own_sigmas) + 1}:
            raise ValueError(f"{counts} energies for {len(own_sigmas)} sigmas")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            path, expected="a reference file of energies", found="another or a damaged file", remedy=remedy
        ) from error
    expected, shape = preparation_of(**prepared_as), _shape(prepared_as["size"])
    kinds = {"image_size": "2-D slices", "box_size": "3-D boxes"}
    own, other = (next((kinds[key] for key in kinds if key in options), None) for options in (expected, stored))
    if own != other:
        raise UserError(path, expected=f"energies of {own}", found=f"those of {other}", remedy=remedy)
    wrong = [name for name, value in expected.items() if stored.get(name) != value]
    if wrong:
        name, what = wrong[0], "slices" if "image_size" in expected else "boxes"
        asked, found = f"energies of {what} with {name} {expected[name]}", str(stored.get(name))
        raise UserError(path, expected=asked, found=found, remedy=remedy)
    wanted = band_sigmas(shape)
    if own_sigmas != wanted:
        raise UserError(path, expected=f"bands of sigma {list(wanted)}", found=list(own_sigmas), remedy=remedy)
    absent = [name for name in modalities if name not in energies]
    if absent:
        there = ", ".join(energies)
        raise UserError(
            path, expected=f"energies of the modality {absent[0]}", found=f"those of {there}", remedy=remedy
        )
    return EnergyReference(shape, own_sigmas, energies)


def _shape(size: int | Sequence[int]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(int(edge) for edge in size)
