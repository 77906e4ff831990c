"""``python -m monai_cl reference_energy``: what energies the training images of a list have, for its augmentation."""

from __future__ import annotations

from typing import Any

from monai_cl.errors import UserError, echo
from monai_cl.names import names_of


def reference_energy_command(
    data_list: str,
    *,
    output: str = "energy.json",
    images: int = 1000,
    seed: int = 0,
    data_root: str | None = None,
    store: str = "store",
    image_size: int | None = None,
    pixel_size: float | None = None,
    window: Any = None,
    fraction: float | None = None,
    modalities: Any = None,
    box_size: Any = None,
    find_head: bool | None = None,
    uneven_slices: str = "error",
    workers: int = 1,
    allow_outside: bool = False,
) -> None:
    """Measure the energies of the frequency bands of training images, of each modality by itself.

    The file is what the key energy of the bundles clustering_pretraining (2-D images) and head_ct_classification
    (pretrain.yaml, 3-D boxes: with --box_size) takes; prepare the images as the bundle does. Images are those under
    "training" of the list alone; they are prepared into the store where they are not there yet.

    Examples:
        python -m monai_cl reference_energy images.json --output energy.json --images 1000 --seed 0
        python -m monai_cl reference_energy head_ct_pretraining.json --box_size 40,224,192

    Args:
        data_list: JSON file.
        output: JSON file to write; one that is there is replaced.
        images: images of each modality, or boxes, that are measured, at least 20; all where there are fewer.
        seed: of their choice.
        data_root: folder the list's paths start from; default: the folder of the list.
        store: folder of the prepared images, created if absent.
        image_size: pixels per side of the prepared images; default: 512.
        pixel_size: mm; default: the whole field of view on image_size pixels.
        window: lower and upper HU of CT; default: -160,240, of boxes -45,155.
        fraction: central part of the slices of each volume that is used; default: 1.
        modalities: those to measure, e.g. CT,MR; default: all of the list.
        box_size: slices, rows and columns of the box around the head, e.g. 40,224,192: bands lie within its slices and
            are measured over the whole box.
        find_head: with box_size; False: the scans are such boxes already, as those of phantom head_ct.
        uneven_slices: "error", or "interpolate" DICOM series with missing or uneven slices.
        workers: processes that prepare.
        allow_outside: trust a list whose paths or links leave data_root.
    """
    from monai_cl.data import measure_energies, write_energy_reference
    from monai_cl.engines import list_boxes, modality_slices, read_list

    flat = {"image_size": image_size, "pixel_size": pixel_size, "fraction": fraction, "modalities": modalities}
    given = [f"--{name}" for name, value in flat.items() if value is not None]
    if box_size is not None and given:
        remedy = f"leave {' and '.join(given)} out, or --box_size"
        raise UserError("--box_size", expected="no option of 2-D images beside it", found=given[0], remedy=remedy)
    if box_size is None and find_head is not None:
        raise UserError("--find_head", expected="--box_size beside it", found="none", remedy="give both, or neither")
    common: dict[str, Any] = {"store": str(store), "prepare_workers": workers}
    if window is not None:
        common["window"] = _numbers("--window", window, "-160,240")
    edges = None if box_size is None else _numbers("--box_size", box_size, "40,224,192", whole=True)
    content = read_list(str(data_list), data_root=data_root, allow_outside=allow_outside, uneven_slices=uneven_slices)
    training: Any
    if edges is not None:
        training = list_boxes(content, size=[int(edge) for edge in edges], find_head=find_head is not False, **common)
    else:
        training = modality_slices(
            content,
            size=512 if image_size is None else image_size,
            pixel_size=pixel_size,
            fraction=1.0 if fraction is None else fraction,
            modalities=None if modalities is None else names_of(modalities),
            **common,
        )
    found = measure_energies(training, images=images, seed=seed)
    about = {"seed": seed, "data_list": {"name": content.name, "sha256": content.sha256}}
    path = write_energy_reference(output, training, found, **about)
    counts = ", ".join(f"{entry['images']} of {name}" for name, entry in found.items())
    echo(f"wrote {path}: {'images' if edges is None else 'boxes'} {counts}")


def _numbers(option: str, value: Any, example: str, *, whole: bool = False) -> list[float]:
    try:
        found = [float(word) for word in names_of(value)]
    except ValueError:
        found = []
    if len(found) != len(example.split(",")) or (whole and any(n < 1 or n != int(n) for n in found)):
        raise UserError(option, expected=f"numbers such as {example}", found=value)
    return found
