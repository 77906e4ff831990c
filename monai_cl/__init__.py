"""Contrastive pre-training for CT that uses the labels people already have, as MONAI bundles."""

from monai_cl._version import __version__

__all__ = ["__version__"]
