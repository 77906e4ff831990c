"""torchvision beside a build of torch that does not match its compiled operators, such as the CPU build.

torchvision then has no operators, and its import fails at the first one it describes. MONAI Label needs none of them,
only functions in Python (grids of pictures); so the two names are declared without an implementation.
"""

from __future__ import annotations

import sys
from typing import Any

OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[Any] = []  # a library is unregistered when it is garbage-collected


def declare_torchvision_operators() -> bool:
    """Make ``import torchvision`` work; call it before anything imports MONAI.

    Returns:
        whether the operators had to be declared: False where torchvision has its own.

    Raises:
        RuntimeError: torchvision fails for another reason.
        ModuleNotFoundError: torchvision is not installed.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if f"torchvision::{OPERATORS[0]}" not in str(error):
            raise
    else:
        return bool(_declared)
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # partly imported
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator + _SCHEMA)
    _declared.append(library)
    import torchvision  # noqa: F401

    return True
