"""Other libraries whose networks the tests compare with."""

from __future__ import annotations

from types import ModuleType

import pytest

from monai_cl.serving.torchvision_operators import declare_torchvision_operators


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, also beside the CPU build of torch, with which its compiled operators do not load."""
    declare_torchvision_operators()
    import torchvision

    return torchvision


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """timm, which imports torchvision."""
    import timm

    return timm
