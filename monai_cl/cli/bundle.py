"""``python -m monai_cl bundle ...``: find the bundles that come with the package, wherever it is installed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

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

    def weights(
        self, bundle: str, *, random: bool = False, seed: int = 0, overwrite: bool = False, **options: Any
    ) -> None:
        """Write models/model.pt of an untrained network, to try a bundle, or to verify it as MONAI's model zoo does.

        Example:
            python -m monai_cl bundle weights my_bundles/spleen --random --feature_size 4 --hidden_size 48

        Args:
            bundle: its folder, such as a copy's; or a name, for the bundle of a checkout.
            random: the weights, drawn by the seed; there are no others to write.
            seed: of the weights.
            overwrite: replace an existing models/model.pt.
            **options: keys of inference.yaml, such as sizes of the network; the file carries them, and all configs
                use them.
        """
        from monai_cl.engines.launch.deployed_network import random_weights
        from monai_cl.shipped import bundle_folder

        if not random:
            raise UserError(
                "bundle weights", expected="--random", found="no option", remedy="add it: the weights are untrained"
            )
        folder = Path(str(bundle))
        folder = folder if (folder / "configs").is_dir() else bundle_folder(str(bundle))
        echo(f"wrote {random_weights(folder, seed=seed, overwrite=overwrite, options=options)}, untrained")

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
