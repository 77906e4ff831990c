"""Figures as bytes that are the same for the same figure."""

from __future__ import annotations

import io

from matplotlib import rc_context
from matplotlib.figure import Figure

MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml"}


def saved(figure: Figure, file_format: str, *, dpi: int = 150) -> bytes:
    """A figure as bytes, without a date and with fixed ids, so that equal figures are equal files."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "monai_cl", "svg.fonttype": "path"}):
        metadata = {"Date": None} if file_format == "svg" else {"Software": None}
        figure.savefig(buffer, format=file_format, dpi=dpi, metadata=metadata)
    return buffer.getvalue()
