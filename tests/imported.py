"""What bundles and losses import sooner or later; a process that forks others imports it once for all of them."""

from __future__ import annotations

import contextlib

import monai.bundle.scripts  # noqa: F401
import torch.utils.tensorboard  # noqa: F401

import monai_cl.engines
import monai_cl.losses
import monai_cl.networks
import monai_cl.report

for package in (monai_cl.engines, monai_cl.losses, monai_cl.networks, monai_cl.report):
    for name in package.__all__:
        with contextlib.suppress(Exception):  # whoever needs it will tell
            getattr(package, name)
