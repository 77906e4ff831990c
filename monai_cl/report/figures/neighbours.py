"""A scan, slice or patch beside those whose embeddings are nearest to its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_cl.report.figures.figure_files import new_figure, saved


def neighbours_figure(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> bytes:
    """Pictures in a row, that of the query first, in a frame.

    Args:
        pictures: (H, W) in [0, 1] each.
        titles: one above each.

    Returns:
        the PNG's bytes.

    Raises:
        ValueError: no picture, or another number of titles.
    """
    if not pictures or len(pictures) != len(titles):
        raise ValueError(f"titles must be one for each of the pictures, got {len(titles)} for {len(pictures)}")
    figure = new_figure(2.3 * len(pictures), 2.9)
    for number, (picture, title) in enumerate(zip(pictures, titles)):
        axes = figure.add_subplot(1, len(pictures), number + 1)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, fontsize=8, parse_math=False)
        for spine in axes.spines.values():
            spine.set(visible=number == 0, color="#D55E00", linewidth=2.5)
    return saved(figure)
