"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT (``MONAI_CL_REAL_DATA``, or ``../shared/data`` beside the checkout); skips without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MONAI_CL_REAL_DATA", default))
    if not (folder / "ct_organs").is_dir():
        pytest.skip(f"no real CT at {folder} (set MONAI_CL_REAL_DATA)")
    return folder
