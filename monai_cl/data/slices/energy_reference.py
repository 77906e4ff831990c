"""The reference file of energy bands: measured on training images of each modality, written, and read by a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from monai_cl.data.slices.ct_slices import CTSlices
from monai_cl.errors import UserError
from monai_cl.files import write_atomically
from monai_cl.transforms import BandEnergies, EnergyReference, band_sigmas, spectrum

FORMAT = "monai_cl energy reference 1"
LEAST_IMAGES = 20


def measure_energies(slices: CTSlices, *, images: int = 1000, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Energies of the bands of each modality's images; σ of the bands go by the size of the slices, see `band_sigmas`.

    Args:
        slices: of training images.
        images: R, those of a modality that are measured, chosen by the hash of (seed, item, slice); all where there
            are fewer.
        seed: of the choice.

    Returns:
        Modality -> ``mean`` and ``std`` of each band, ``images``.

    Raises:
        UserError: a modality of fewer than 20 images, or ``images`` below that.
    """
    if images < LEAST_IMAGES:
        raise UserError("--images", expected=f"{LEAST_IMAGES} or more", found=images)
    sigmas = band_sigmas((slices.size, slices.size))
    chosen: dict[str, list[tuple[str, int]]] = {name: [] for name in slices.modalities}
    index = 0
    for volume in slices.volumes:
        for middle in volume.slices:
            address = f"{seed}/{volume.patient}/{volume.id}/{int(middle)}".encode()
            chosen[volume.modality].append((hashlib.sha256(address).hexdigest(), index))
            index += 1
    few = {name: len(members) for name, members in chosen.items() if len(members) < LEAST_IMAGES}
    if few:
        name = next(iter(few))
        raise UserError(
            f"modality {name}",
            expected=f"{LEAST_IMAGES} training images or more",
            found=few[name],
            remedy="add images, or leave it out with --modalities",
        )
    found = {}
    for name, members in chosen.items():
        taken = sorted(index for _, index in sorted(members)[:images])
        energies = torch.stack(
            [spectrum(slices[i]["image"].double(), sigmas).energies for i in tqdm(taken, desc=name, leave=False)]
        )
        found[name] = {
            "mean": energies.mean(dim=0).tolist(),
            "std": energies.std(dim=0, correction=0).tolist(),
            "images": len(taken),
        }
    return found


def write_energy_reference(
    path: str | Path, slices: CTSlices, modalities: dict[str, dict[str, Any]], **about: Any
) -> Path:
    """Write what `measure_energies` found, whole or not at all.

    Args:
        path: of the JSON file.
        slices: that were measured; how they are prepared goes into the file.
        modalities: see `measure_energies`.
        about: more about them, such as the hash of the list.
    """
    content = {
        "format": FORMAT,
        "preparation": preparation_of(slices.size, window=slices.window, pixel_size=slices.pixel_size),
        "sigmas": list(band_sigmas((slices.size, slices.size))),
        "modalities": modalities,
        **about,
    }
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return Path(path)


def preparation_of(
    size: int, *, window: Sequence[float], pixel_size: float | None = None
) -> dict[str, int | float | list[float] | None]:
    """What the energies of prepared slices depend on: two of them can be compared."""
    return {"image_size": int(size), "pixel_size": pixel_size, "window": [float(bound) for bound in window]}


def read_energy_reference(
    path: str | Path, *, modalities: Sequence[str], size: int, window: Sequence[float], pixel_size: float | None = None
) -> EnergyReference:
    """Read a reference file for a run.

    Args:
        path: of the file.
        modalities: of the run.
        size: pixels of the side of the run's slices.
        window: of its CT, HU.
        pixel_size: of the run's slices, mm.

    Raises:
        UserError: no such file, another or a damaged one; slices of another size or another preparation, other σ, a
            modality that is not in it.
    """
    path = Path(path)
    again = "make one with `python -m monai_cl reference_energy LIST --output energy.json` and the options of this run"
    if not path.is_file():
        raise UserError(path, expected="a reference file of energies", found="no such file", remedy=again)
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
            path, expected="a reference file of energies", found="another or a damaged file", remedy=again
        ) from error
    expected = preparation_of(size, window=window, pixel_size=pixel_size)
    wrong = [name for name, value in expected.items() if stored.get(name) != value]
    if wrong:
        name = wrong[0]
        raise UserError(
            path, expected=f"energies of slices with {name} {expected[name]}", found=stored.get(name), remedy=again
        )
    wanted = band_sigmas((size, size))
    if own_sigmas != wanted:
        raise UserError(path, expected=f"bands of sigma {list(wanted)}", found=list(own_sigmas), remedy=again)
    absent = [name for name in modalities if name not in energies]
    if absent:
        there = ", ".join(energies)
        raise UserError(path, expected=f"energies of the modality {absent[0]}", found=f"those of {there}", remedy=again)
    return EnergyReference((size, size), own_sigmas, energies)
