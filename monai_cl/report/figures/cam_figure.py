"""Slices with the classifier's activation map laid over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context

from monai_cl.report.figures.figure_files import new_figure, saved


def class_activation_figure(
    images: np.ndarray, maps: np.ndarray, *, titles: Sequence[str] = (), title: str | None = None
) -> bytes:
    """Every slice, and below it the same slice under its map.

    Args:
        images: (n, H, W) in [0, 1].
        maps: (n, H, W) in [0, 1], such as of Grad-CAM; where a map is 0 the slice shows through.
        titles: one per slice, above it.
        title: above all.

    Returns:
        the PNG's bytes.

    Raises:
        ValueError: no slice, or maps or titles that do not fit the slices.
    """
    images, maps = np.asarray(images, dtype=np.float32), np.asarray(maps, dtype=np.float32)
    if images.ndim != 3 or not len(images) or maps.shape != images.shape:
        raise ValueError(f"images and maps must be (n, H, W) with n >= 1, got {images.shape} and {maps.shape}")
    if len(titles) not in (0, len(images)):
        raise ValueError(f"titles must be one for each of {len(images)} slices, got {len(titles)}")
    with rc_context({"font.size": 9}):
        figure = new_figure(max(2.4 * len(images), 4.8), 5.4)
        axes = figure.subplots(2, len(images), squeeze=False)
        for column, (image, heat) in enumerate(zip(images, maps)):
            for row in axes[:, column]:
                row.imshow(image, cmap="gray", vmin=0, vmax=1)
                row.set_axis_off()
            # opacity follows the map: the anatomy stays visible where the map is low
            axes[1, column].imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.65 * np.clip(heat, 0, 1))
            if titles:
                axes[0, column].set_title(titles[column], fontsize=9, parse_math=False)
        if title:
            figure.suptitle(title, fontsize=10, parse_math=False)
        return saved(figure)
