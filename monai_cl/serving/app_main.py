"""The MONAI Label app of monai_cl: serves every bundle in ``model/``. Add tasks, strategies or scoring methods here."""

from monai_cl.serving.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()  # before anything imports MONAI

from monai_cl.serving.app import BundleApp  # noqa: E402


class App(BundleApp):
    """MONAI Label looks in this file for a subclass of its class."""
