"""``python -m monai_cl bundle ...``: find the bundles that come with the package, wherever it is installed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from monai_cl.errors import UserError, echo


class BundleCommands:
    """Find, copy and check the bundles that come with the package."""

    def list(self) -> None:
        """Print the bundles' names and what they are for.

        Example:
            python -m monai_cl bundle list
        """
        from monai_cl.shipped import bundle_folder, bundle_names

        names = bundle_names()
        width = max(map(len, names))
        for name in names:
            metadata = json.loads((bundle_folder(name) / "configs" / "metadata.json").read_text(encoding="utf-8"))
            echo(f"{name:{width}}  {metadata['task']}")

    def path(self, name: str) -> None:
        """Print the folder of a bundle, to use it in a command.

        Example:
            python -m monai_cl bundle path spleen_unetr_segmentation

        Args:
            name: of the bundle, see `bundle list`.
        """
        from monai_cl.shipped import bundle_folder

        print(bundle_folder(str(name)))

    def copy(self, name: str, folder: str) -> None:
        """Copy a bundle, to edit its configs or to keep its models in it.

        Example:
            python -m monai_cl bundle copy spleen_unetr_segmentation my_bundles/spleen

        Args:
            name: of the bundle, see `bundle list`.
            folder: to create; it must not exist.
        """
        from monai_cl.shipped import bundle_folder

        source, target = bundle_folder(str(name)), Path(str(folder))
        if target.exists():
            raise UserError(target, found="exists already", remedy="choose another name")
        # what runs have left in a checkout's bundle is not part of it
        shutil.copytree(source, target, ignore=lambda at, _: RESULTS if Path(at) == source else ())
        echo(f"wrote {target}")

    def schema(self) -> None:
        """Print the path of the JSON Schema of metadata.json, for `python -m monai.bundle verify_metadata --filepath`.

        Example:
            python -m monai_cl bundle schema
        """
        from monai_cl.shipped import METADATA_SCHEMA

        print(METADATA_SCHEMA)


RESULTS = ("models", "eval", "store")


def datalist_path_command(name: str) -> None:
    """Print the file of a data list that comes with the package, to use it in a command.

    Example:
        python -m monai_cl datalist path msd_spleen

    Args:
        name: such as msd_spleen; for an unknown one the error lists the known ones.
    """
    from monai_cl.shipped import list_file

    print(list_file(str(name)))
