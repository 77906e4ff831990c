"""Write the synthetic cohort of sections: PNG images of four modalities, lists without labels and with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from monai_cl.data.datalist.json_files import format_json
from monai_cl.data.phantom.cohort_folder import cohort_folder, require_whole_numbers
from monai_cl.jobs import for_each

_FOLDER = "synthetic_modalities"
_LISTS = {"unlabelled": "unlabelled.json", "labelled": "labelled.json", "nodules": "nodules.json"}
_PARTS = {"unlabelled": ("unlabelled",), "labelled": ("unlabelled",), "nodules": ("training", "validation", "test")}
# of the first patient of a split: its patients do not depend on the number of the others
_FIRST = {"unlabelled": 0, "training": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
_LEAST = {"unlabelled": 1, "training": 1, "validation": 0, "test": 0, "seed": 0, "workers": 1}
_TASK = "a nodule, a filled disc, among rings and tubes of its area and brightness"


def write_modalities_cohort(
    output: str | Path,
    *,
    unlabelled: int = 2000,
    training: int = 1000,
    validation: int = 200,
    test: int = 400,
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Path]:
    """Write synthetic 2D images of CT, MR, US and XR, half of those with labels with a nodule.

    Images of 96 x 96 pixels, one of each patient, no patient in two modalities or lists.

    Example:
        python -m monai_cl phantom modalities --output /data/sections --workers 4

    Args:
        output: folder to create; it appears complete or not at all.
        unlabelled: images of each modality to pre-train on, without labels in one list and with them in another.
            Image i is the same however many are asked for.
        training: images of each modality to learn from, with the target 1 (with a nodule) or 0.
        validation: further ones, of that split.
        test: further ones, of that split.
        seed: of the whole cohort.
        workers: processes; the files do not depend on it.
        overwrite: replace a cohort that is there (other files of the folder stay).
        progress: show a progress bar.

    Returns:
        "unlabelled", "labelled" (the same images with their class) and "nodules" (others, in three parts) -> their
        lists, each with a data set for every modality.

    Raises:
        UserError: the folder is not empty (without ``overwrite``) or an option is out of range.
    """
    from monai_cl.data.phantom.modalities.case import MODALITIES

    counts = {"unlabelled": unlabelled, "training": training, "validation": validation, "test": test}
    require_whole_numbers(_LEAST, {**counts, "seed": seed, "workers": workers})
    output = Path(output).expanduser().absolute()
    with cohort_folder(output, lists=_LISTS, overwrite=overwrite) as building:
        jobs = [
            (building / _FOLDER, modality, split, number, seed)
            for modality in MODALITIES
            for split, count in counts.items()
            for number in range(count)
        ]
        for modality in MODALITIES:
            (building / _FOLDER / modality.lower()).mkdir(parents=True)
        bar: dict[str, Any] = {"what": "synthetic sections" if progress else None, "unit": "image", "leave": True}
        items: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for (_, modality, split, *_), item in zip(jobs, for_each(_write_image, jobs, workers=workers, **bar)):
            items.setdefault((modality, split), []).append(item)
        for name, splits in _PARTS.items():
            document = _document(name, {m: {s: items.get((m, s), []) for s in splits} for m in MODALITIES}, seed)
            (building / _LISTS[name]).write_text(format_json(document), encoding="utf-8")
    return {name: output / file for name, file in _LISTS.items()}


def _document(name: str, parts: dict[str, dict[str, list[dict[str, Any]]]], seed: int) -> dict[str, Any]:
    bare = name == "unlabelled"
    labels = {} if bare else {"targets": {"0": "no nodule", "1": "nodule"}}

    def kept(item: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in item.items() if not (bare and key == "target")}

    return {
        "name": f"{_FOLDER}_{name}",
        "description": f"Synthetic. Sections in four modalities; the target is {_TASK}.",
        "source": f"synthetic, monai_cl phantom modalities seed {seed}",
        "licence": "Apache-2.0",
        "datasets": [
            {
                "name": f"synthetic_{modality.lower()}",
                "source": f"synthetic, monai_cl phantom modalities seed {seed}",
                "licence": "Apache-2.0",
                "modality": modality,
                **labels,
                "root": _FOLDER,
                **{
                    "training" if split == "unlabelled" else split: list(map(kept, own))
                    for split, own in splits.items()
                    if own or split in ("unlabelled", "training")
                },
            }
            for modality, splits in parts.items()
        ],
    }


def _write_image(root: Path, modality: str, split: str, number: int, seed: int) -> dict[str, Any]:
    from monai_cl.data.phantom.modalities.case import section_case

    case = section_case(seed, _FIRST[split] + number, modality)
    name = f"{modality.lower()}_{split}_{number:05d}"
    note = PngInfo()
    note.add_text("Description", f"synthetic, monai_cl phantom modalities seed {seed}")
    image = f"{modality.lower()}/{name}.png"
    Image.fromarray(case.image).save(root / image, pnginfo=note)
    return {"image": image, "patient": name, "target": case.target, "meta": {"synthetic": True}}
