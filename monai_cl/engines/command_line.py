"""What the command line that started this process asked for: config files, overrides, and typing mistakes in them."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.scripts import run as bundle_run
from monai.bundle.utils import ID_SEP_KEY

from monai_cl.errors import UserError

_RUN_ARGUMENTS = {name for name in inspect.signature(bundle_run).parameters if name != "override"}


@dataclass(frozen=True)
class Invocation:
    """A ``python -m monai.bundle run`` command line, taken apart."""

    config_files: tuple[str, ...]
    overrides: dict[str, str]
    command: str

    def merged_config(self) -> dict[str, Any]:
        """The config as written: files merged in order, overrides on top, nothing resolved."""
        parser = ConfigParser(ConfigParser.load_config_files(list(self.config_files)))
        for key, value in self.overrides.items():
            parser[key] = value
        return parser.get()

    def check_overrides(self) -> None:
        """Refuse what MONAI would take silently: an override whose first key the config does not have, or of None.

        Raises:
            UserError: names the key, the nearest known one and the config file.
        """
        parser = ConfigParser(ConfigParser.load_config_files(list(self.config_files)))
        known = set(parser.get())
        for key, value in self.overrides.items():
            head = key.replace("#", ID_SEP_KEY).split(ID_SEP_KEY)[0]
            if head not in known and not head.startswith("_"):
                near = difflib.get_close_matches(head, sorted(known), n=1)
                hint = f"did you mean --{near[0]}?" if near else f"it has {', '.join(sorted(known))}"
                raise UserError(f"--{key}: {self.config_files[-1]} has no key {head!r}; {hint}")
            if value is None and parser.get(key) is not None:
                raise UserError(
                    f"--{key} None: MONAI leaves such an option out and {parser.get(key)!r} would stay; write "
                    f"--{key} none where the option knows that word (fold, resume), or null in a config of your own"
                )


def invocation(arguments: Sequence[str] | None = None) -> Invocation | None:
    """Take this process's command line apart; None when it is no ``monai.bundle run`` (a test, a notebook).

    Args:
        arguments: the command line with the program first; default ``sys.argv``.
    """
    argv = list(sys.argv if arguments is None else arguments)
    options: dict[str, str] = {}
    key = None
    for word in argv[1:]:
        if word.startswith("--"):
            key, _, value = word[2:].partition("=")
            key = key.replace("-", "_")  # as Fire does
            options[key] = value
            if value:
                key = None
        elif key is not None:
            options[key] = word
            key = None
    if "run" not in argv[1:] or "config_file" not in options:
        return None
    files = tuple(Path(f.strip(" '\"")).as_posix() for f in options["config_file"].strip("[]()").split(","))
    overrides = {k: _plain(v) for k, v in options.items() if k not in _RUN_ARGUMENTS}
    return Invocation(config_files=files, overrides=overrides, command=" ".join(argv))


def _plain(text: str) -> Any:
    """An option's text as MONAI's command line (Python Fire) would read it."""
    from fire.parser import DefaultParseValue

    return DefaultParseValue(text)
