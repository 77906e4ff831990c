"""Draws what goes into each bundle and what comes out, on phantoms: the pictures of the bundles' pages.

    python benchmarks/bundle_pictures.py --output docs/pictures

Nothing is trained: where a bundle predicts, the output drawn is the phantom's truth, as a perfect model would give it;
where it pre-trains, what its loss makes alike. WebP of at most 60 kB.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fire
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from PIL import Image

from monai_cl.data import cine_patient, cirrhosis_case, head_case, phantom_case, section_case
from monai_cl.data.phantom.head_ct.case import FINDINGS
from monai_cl.files import write_atomically
from monai_cl.losses.kernels import log_near_position, log_same_label
from monai_cl.report.overlays import PALETTE
from monai_cl.report.slices import busiest_slice, radiological_slice
from monai_cl.transforms import boundary_weight_map, random_views
from monai_cl.transforms.crops.crop import draw_crop
from monai_cl.transforms.crops.multi_crop import apply_crops

LARGEST = 60_000  # bytes


@dataclass(frozen=True)
class Panel:
    """A part of a picture.

    Attributes:
        side: ``in`` or ``out``.
        title: below it.
        image: (H, W) in [0, 1]; with ``labels`` its background.
        labels: (H, W) integers, drawn in the overlays' colours; 0 shows the image.
        scale: colour map of ``image``.
    """

    side: str
    title: str
    image: np.ndarray
    labels: np.ndarray | None = None
    scale: str = "gray"


def windowed(hounsfield: np.ndarray, low: float = -150, high: float = 250) -> np.ndarray:
    """HU in [0, 1]."""
    return np.clip((hounsfield.astype(np.float32) - low) / (high - low), 0, 1)


def abdomen(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The busiest axial slice of a synthetic abdomen, windowed, and its labels."""
    case = phantom_case(0, 0, kind=kind, spacing=3.0)
    index = busiest_slice(case.label, axis=2, size=case.label.shape[2])
    image, label = (radiological_slice(volume, "axial", index) for volume in (case.image, case.label))
    return windowed(image), label


def segmentation(kind: str, what: str) -> list[Panel]:
    """A CT and its organs."""
    image, label = abdomen(kind)
    return [Panel("in", "CT, any size", image), Panel("out", what, image, label)]


def mixcl() -> list[Panel]:
    """A patch with the labels of its data set, two views of it, and how much its voxels count."""
    image, label = abdomen("abdomen")
    centre = [int(places.mean()) for places in np.nonzero(label)]
    box = tuple(slice(max(0, c - 48), max(0, c - 48) + 96) for c in centre)
    patch, organs = image[box], label[box]
    volume = torch.tensor(patch.copy())[None, None, :, :, None].repeat(2, 1, 1, 1, 8)
    views = random_views(volume, seed=0, positions=[0, 1], view=1).clamp(0, 1)[:, 0, :, :, 4].numpy()
    weight = boundary_weight_map(organs[:, :, None].astype(np.int64))[:, :, 0]
    return [
        Panel("in", "patch, organs of its data set", patch, organs),
        Panel("in", "a view of it", views[0]),
        Panel("in", "another view", views[1]),
        Panel("out", "encoder; voxels it learns most from", weight / weight.max(), scale="viridis"),
    ]


def wsp() -> list[Panel]:
    """Slices of several patients, and which pairs the loss makes alike."""
    cases = [cirrhosis_case(0, number, stage=stage) for number, stage in enumerate((0, 0, 4, 4))]
    slices = [windowed(radiological_slice(case.image, "axial", case.image.shape[2] // 2)) for case in cases]
    labels = torch.tensor([case.grade for case in cases]).repeat_interleave(12)
    depth = torch.linspace(0, 1, 12).repeat(len(cases))
    pull = (log_same_label(labels, views=1) + log_near_position(depth, views=1, sigma=0.1)).exp().numpy()
    shown = [Panel("in", f"slice, grade {cases[i].grade}", slices[i]) for i in (0, 1, 2)]
    return [*shown, Panel("out", "encoder; pairs of slices made alike", pull, scale="viridis")]


def cirrhosis() -> list[Panel]:
    """Slices of a patient without and of one with cirrhosis."""
    panels = []
    for name, stage in (("no", 0), ("yes", 4)):
        case = cirrhosis_case(0, 1, cohort="histology", stage=stage)
        for share in (0.4, 0.6):
            image = radiological_slice(case.image, "axial", int(case.image.shape[2] * share))
            panels.append(Panel("in", f"slice of a patient, cirrhosis: {name}", windowed(image)))
    bars = np.zeros((60, 60))
    bars[59:, 8:26], bars[:, 34:52] = 0.5, 1.0  # the truth: 0 and 1
    return [*panels, Panel("out", "probability: no, yes", bars, scale="viridis")]


def clustering() -> list[Panel]:
    """An image of two modalities, and crops of two sizes of the first."""
    cases = {modality: section_case(0, 0, modality=modality).image / 255 for modality in ("CT", "MR")}
    image = torch.tensor(cases["CT"], dtype=torch.float32)[None]
    rng = np.random.default_rng(2)
    crops = [draw_crop(rng, image_size=(96, 96), size=size, scale=(0.8, 1.0)) for size in (64, 32, 32)]
    cut = [apply_crops(image, [crop])[0, 0].numpy() for crop in crops]
    shown = [Panel("in", f"image, {modality}", picture) for modality, picture in cases.items()]
    names = ("a large crop", "a small crop", "another")
    return [*shown, *(Panel("out", f"{name} → a cluster", picture) for name, picture in zip(names, cut))]


def cine(masks: bool) -> list[Panel]:
    """Slices of a heart in two phases, and the mask or which pairs the loss makes alike."""
    _, scans = cine_patient(0, 0)
    scan = scans["ED"]
    order = [z for z in np.argsort(scan.positions) if 0 <= scan.positions[z] <= 1]  # of the ventricles
    image = scan.image / np.percentile(scan.image, 99.5)
    chosen = [order[int(share * (len(order) - 1))] for share in (0.25, 0.6)]
    slices = [np.clip(image[:, :, z].T, 0, 1) for z in chosen]
    if masks:
        mask = scan.label[:, :, chosen[0]].T
        labelled = [Panel("in", "few slices with a mask", slices[0], mask), Panel("in", "many without", slices[1])]
        return [*labelled, Panel("out", "ventricles and myocardium", slices[1], scan.label[:, :, chosen[1]].T)]
    position = torch.linspace(0, 2.99, 12).long().repeat(4)
    pull = log_same_label(position, views=1).exp().numpy()
    names = ("slice near the base", "slice near the apex")
    shown = [Panel("in", name, picture) for name, picture in zip(names, slices)]
    return [*shown, Panel("out", "encoder; pairs of one position", pull, scale="viridis")]


def head() -> list[Panel]:
    """A head CT with haemorrhage and its slices' findings."""
    case = head_case(0, 0, kinds=FINDINGS[:1])
    index = busiest_slice(case.blood, axis=2, size=case.blood.shape[2])
    image = windowed(radiological_slice(case.image, "axial", index), 0, 90)
    blood = radiological_slice(case.blood, "axial", index)
    rows = np.repeat(np.asarray(case.slice_findings, dtype=float)[::-1, None], len(case.slice_findings), axis=1)
    return [
        Panel("in", "head CT", image),
        Panel("out", "haemorrhage: yes, of which kinds", image, (blood > 0).astype(int)),
        Panel("out", "on which slices, head to feet", rows, scale="viridis"),
    ]


BUNDLES: dict[str, Callable[[], list[Panel]]] = {
    "btcv_unetr_segmentation": lambda: segmentation("target", "label map of the organs"),
    "spleen_unetr_segmentation": lambda: segmentation("spleen", "label map of the spleen"),
    "mixcl_ct_pretraining": mixcl,
    "wsp_ct_pretraining": wsp,
    "cirrhosis_classification": cirrhosis,
    "clustering_pretraining": clustering,
    "meta_label_pretraining": lambda: cine(masks=False),
    "semi_supervised_segmentation": lambda: cine(masks=True),
    "head_ct_classification": head,
}


def picture(panels: list[Panel]) -> bytes:
    """The panels in a row, as WebP; a rule between what goes in and what comes out."""
    figure = Figure(figsize=(2.3 * len(panels), 2.75), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    for number, (panel, axes) in enumerate(zip(panels, figure.subplots(1, len(panels), squeeze=False)[0])):
        draw(axes, panel)
        if number == 0 or panels[number - 1].side != panel.side:
            axes.set_title(panel.side, loc="left", fontsize=12, fontweight="bold")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    result = io.BytesIO()
    Image.open(buffer).convert("RGB").save(result, format="WEBP", quality=70, method=6)
    return result.getvalue()


def draw(axes: Axes, panel: Panel) -> None:
    """A panel without ticks, its title below."""
    axes.imshow(panel.image, cmap=panel.scale, vmin=0, vmax=1, interpolation="nearest")
    if panel.labels is not None:
        shown = np.ma.masked_equal(panel.labels, 0)
        axes.imshow(shown, cmap=ListedColormap(PALETTE), vmin=1, vmax=len(PALETTE), alpha=0.55, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(panel.title, fontsize=9)
    axes.spines[:].set_visible(False)


def main(output: str = "docs/pictures") -> None:
    """Write a picture for each bundle.

    Args:
        output: folder to write to.
    """
    for name, panels in BUNDLES.items():
        content = picture(panels())
        if len(content) > LARGEST:
            raise RuntimeError(f"{name}: {len(content)} bytes, more than {LARGEST}")
        write_atomically(Path(output) / f"{name}.webp", content)
        print(f"{name}.webp: {len(content) / 1000:.0f} kB")


if __name__ == "__main__":
    fire.Fire(main)
