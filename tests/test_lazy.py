"""Public names that a package re-exports, and the names they had before."""

from __future__ import annotations

import pytest

from monai_cl import losses
from monai_cl._lazy import lazy_exports


def test_a_former_name_gives_what_its_new_name_gives_and_is_not_listed():
    get, names, exported = lazy_exports(
        "monai_cl.losses", {"byol": ("byol_loss", "BYOLLoss")}, former={"momentum_loss": "byol_loss"}
    )
    assert get("momentum_loss") is get("byol_loss") is losses.byol_loss
    assert names() == exported == ["BYOLLoss", "byol_loss"]


def test_an_unknown_name_is_an_attribute_error_that_repeats_it():
    get, _, _ = lazy_exports("monai_cl.losses", {"byol": ("byol_loss",)}, former={"momentum_loss": "byol_loss"})
    with pytest.raises(AttributeError, match=r"'monai_cl\.losses' has no attribute 'byol_los'"):
        get("byol_los")
