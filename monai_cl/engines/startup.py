"""The first thing a bundle's ``initialize`` runs: typing mistakes and user errors become one clear line."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import TracebackType

from monai_cl.engines.command_line import invocation
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)


def preflight() -> None:
    """Check the command line's overrides against the config, and report any `UserError` of this run in one line.

    MONAI's config parser wraps what goes wrong in an exception of its own with a long traceback. In a process
    started by ``python -m monai.bundle run`` an exception that stems from a `UserError` prints that error alone.
    """
    call = invocation()
    if call is None:
        return
    sys.excepthook = _one_line_excepthook
    call.check_overrides()


def user_error_in(error: BaseException | None) -> UserError | None:
    """The `UserError` an exception stems from, if any, along its causes."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _one_line_excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = user_error_in(error)
    if cause is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(f"error: {cause}", file=sys.stderr)


def bundle_root(name: str) -> str:
    """The folder of the bundle whose config is being run, so that bundles work from any current directory.

    Looked for in this order: the folder of the ``--config_file`` on the command line, the current directory,
    the bundles of this checkout or installation.

    Args:
        name: folder name of the bundle, such as ``mixcl_ct_pretraining``.
    """
    call = invocation()
    candidates = [Path(f).resolve().parent.parent for f in call.config_files] if call else []
    candidates += [Path.cwd(), Path(__file__).resolve().parents[2] / "bundles" / name]
    for folder in candidates:
        if (folder / "configs" / "metadata.json").is_file():
            return str(folder)
    raise UserError(
        f"bundle {name!r}: no configs/metadata.json in {', '.join(map(str, candidates))}; pass --bundle_root"
    )


def shipped_list(name: str) -> str:
    """Path of a data list that comes with the project, such as ``msd_spleen``."""
    path = Path(__file__).resolve().parents[2] / "data_lists" / f"{name}.json"
    if not path.is_file():
        raise UserError(f"data list {name!r}: expected {path}; pass --data_list FILE")
    return str(path)
