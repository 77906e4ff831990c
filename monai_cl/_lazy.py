"""Public names re-exported from small files, imported on first use (PEP 562): ``import monai_cl`` stays light."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def lazy_exports(
    package: str, table: Mapping[str, tuple[str, ...]], *, former: Mapping[str, str] | None = None
) -> tuple[Callable, Callable, list[str]]:
    """Build ``__getattr__``, ``__dir__`` and ``__all__`` for ``package``.

    Args:
        package: the ``__name__`` of the package that re-exports.
        table: sub-module name -> the public names it defines.
        former: name of an earlier version -> its name in ``table``; still found, for configs exported then, not listed.
    """
    module_of = {name: module for module, names in table.items() for name in names}
    exported = sorted(module_of)

    def getattr_(name: str):
        name = (former or {}).get(name, name)
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)

    return getattr_, lambda: exported, exported
