"""``python -m monai_cl.serving.server``: MONAI Label's own command line, in MONAI Label's own environment."""

from __future__ import annotations

from monai_cl.serving.torchvision_operators import declare_torchvision_operators


def main() -> None:
    """Run MONAI Label with its arguments (``start_server --app … --studies …``)."""
    declare_torchvision_operators()
    from monailabel.main import Main

    Main().run()


if __name__ == "__main__":
    main()
