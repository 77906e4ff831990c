"""``python -m monai_cl reference_energy``: what energies the training images of a list have, for its augmentation."""

from __future__ import annotations

from typing import Any

from monai_cl.errors import echo
from monai_cl.names import names_of


def reference_energy_command(
    data_list: str,
    *,
    output: str = "energy.json",
    images: int = 1000,
    seed: int = 0,
    data_root: str | None = None,
    store: str = "store",
    image_size: int = 512,
    pixel_size: float | None = None,
    window: Any = (-100.0, 400.0),
    fraction: float = 1.0,
    modalities: Any = None,
    workers: int = 1,
    allow_outside: bool = False,
) -> None:
    """Measure the energies of the frequency bands of training images, of each modality by itself.

    The file is what the key energy of the bundle clustering_pretraining takes; prepare the images as it does. Images
    are those under "training" of the list alone; they are prepared into the store where they are not there yet.

    Example:
        python -m monai_cl reference_energy images.json --output energy.json --images 1000 --seed 0

    Args:
        data_list: JSON file.
        output: JSON file to write; one that is there is replaced.
        images: images of each modality that are measured, at least 20; all where there are fewer.
        seed: of their choice.
        data_root: folder the list's paths start from; default: the folder of the list.
        store: folder of the prepared images, created if absent.
        image_size: pixels per side of the prepared images.
        pixel_size: mm; default: the whole field of view on image_size pixels.
        window: lower and upper HU of CT, e.g. -100,400.
        fraction: central part of the slices of each volume that is used.
        modalities: those to measure, e.g. CT,MR; default: all of the list.
        workers: processes that prepare.
        allow_outside: trust a list whose paths or links leave data_root.
    """
    from monai_cl.data.slices.energy_reference import measure_energies, write_energy_reference
    from monai_cl.engines import modality_slices, read_list

    content = read_list(str(data_list), data_root=data_root, allow_outside=allow_outside)
    slices = modality_slices(
        content,
        store=str(store),
        modalities=None if modalities is None else names_of(modalities),
        window=window,
        fraction=fraction,
        prepare_workers=workers,
        size=image_size,
        pixel_size=pixel_size,
    )
    found = measure_energies(slices, images=images, seed=seed)
    about = {"seed": seed, "data_list": {"name": content.name, "sha256": content.sha256}}
    path = write_energy_reference(output, slices, found, **about)
    counts = ", ".join(f"{entry['images']} of {name}" for name, entry in found.items())
    echo(f"wrote {path}: images {counts}")
