"""A method of a bundle, chosen by name: the loss, the network and the views that its own small config names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser


def method_files(bundle_root: str | Path) -> dict[str, Path]:
    """Name -> file of each method in ``configs/methods`` of a bundle, sorted."""
    return {file.stem: file for file in sorted((Path(bundle_root) / "configs" / "methods").glob("*.yaml"))}


class MethodParts:
    """The parts of a method: what its config defines, made when asked for, ``parts["criterion"]``.

    A method's file is an overlay over the bundle's ``train.yaml``: given as a further ``--config_file`` it replaces
    keys of that file. ``--method NAME`` is the short form for those in ``configs/methods``. It is read here, because
    MONAI chooses the files of a config before it knows its keys.

    Args:
        method: name of a file in ``configs/methods``, without its ending.
        bundle_root: folder of the bundle.
        given: name -> what the file may refer to as ``@name``: options of the bundle, and what was made of them.

    Raises:
        ValueError: no such method.
    """

    def __init__(self, method: str, *, bundle_root: str | Path, given: Mapping[str, Any]) -> None:
        files = method_files(bundle_root)
        if method not in files:
            raise ValueError(f"method must be one of {', '.join(files)}, got {method!r}")
        content = {**given, **ConfigParser.load_config_file(files[method])}
        self._parser = ConfigParser(content, globals={"monai_cl": "monai_cl"})

    def __getitem__(self, part: str) -> Any:
        return self._parser.get_parsed_content(part)
