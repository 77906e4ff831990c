"""What the command line that started this process asked for: config files, overrides, and typing mistakes in them."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import DEFAULT_EXP_MGMT_SETTINGS, ID_SEP_KEY, ConfigParser
from monai.bundle import run as bundle_run

from monai_cl.compat import fire_value
from monai_cl.engines.recipes import CLUSTERING, PRESETS
from monai_cl.errors import UserError
from monai_cl.names import names_of
from monai_cl.switches import SWITCHES, WORDS

_RUN_ARGUMENTS = {name for name in inspect.signature(bundle_run).parameters if name != "override"}


@dataclass(frozen=True)
class Invocation:
    """A ``python -m monai.bundle run`` command line, taken apart."""

    config_files: tuple[str, ...]
    overrides: dict[str, Any]
    command: str
    tracking: Any = None
    without_value: frozenset[str] = frozenset()
    """Options behind which no value stands, which Fire takes for True."""

    def merged_config(self) -> dict[str, Any]:
        """The config as written: files merged in order, overrides applied, nothing resolved.

        Raises:
            UserError: a nested override of a value that has no keys as written, such as an expression.
        """
        parser = ConfigParser(ConfigParser.load_config_files(list(self.config_files)))
        for key, value in self.overrides.items():
            try:
                parser[key] = value
            except (KeyError, IndexError, TypeError, ValueError) as error:
                above = key.replace("#", ID_SEP_KEY).rpartition(ID_SEP_KEY)[0].replace(ID_SEP_KEY, "#")
                raise UserError(
                    f"--{key}",
                    expected=f"keys or a list below {above} of {self.config_files[-1]}",
                    found=f"{parser.get(above)!r}",
                    remedy=f"give --{above} as a whole",
                ) from error
        return parser.get()

    def check_overrides(self) -> None:
        """Refuse what MONAI would accept silently: an override whose first key the config does not have, of another
        kind of value than the config's, without a value, or of None.

        Raises:
            UserError: names the key, the nearest known one and the config file, or the value in the config.
        """
        parser = ConfigParser(ConfigParser.load_config_files(list(self.config_files)))
        known = set(parser.get()) | self._tracking_keys()
        for key, value in self.overrides.items():
            parts = key.replace("#", ID_SEP_KEY).split(ID_SEP_KEY)
            head = parts[0]
            if head not in known and not head.startswith("_"):
                near = difflib.get_close_matches(head, sorted(known), n=1)
                hint = f"did you mean --{near[0]}?" if near else f"it has {', '.join(sorted(known))}"
                raise UserError(f"--{key}", found=f"{self.config_files[-1]} has no key {head!r}", remedy=hint)
            if head == "epochs" and ("iterations" in self.overrides or not _counts_epochs(parser.get("iterations"))):
                raise UserError(
                    f"--epochs {value}",
                    found="iterations is given as well and would be used",
                    remedy="give one of the two",
                )
            if head == "method" and "@method_parts" not in str(parser.get("criterion", "@method_parts")):
                raise UserError(
                    f"--method {value}",
                    found=f"{self.config_files[-1]} chooses the method already",
                    remedy="leave one out",
                )
            default = parser.get(key)
            if isinstance(default, str) and (named := _OF_RECIPE.fullmatch(default)):
                presets = CLUSTERING if "clustering_preset" in str(parser.get("recipe")) else PRESETS
                default = presets["paper"][named[1]]
            if key in self.without_value and not _is_switch(head, default):
                raise UserError(f"--{key}", expected="its value behind it", found="none", remedy=f"write --{key} VALUE")
            allowed = value is None or (head in SWITCHES and str(value).lower() in WORDS)
            allowed |= parts[-1] in _ONE_OR_SEVERAL and isinstance(value, (list, tuple))
            if not allowed and (expected := type_fault(default, value)):
                raise UserError(
                    f"--{key}",
                    expected=f"{expected} as in {self.config_files[-1]} ({default!r})",
                    found=f"{value!r}",
                )
            if value is None and parser.get(key) is not None:
                raise UserError(
                    f"--{key} None: MONAI ignores such an option and {parser.get(key)!r} would stay; write --{key} "
                    "none where the option accepts that word (fold, resume), or null in a config of your own"
                )

    def _tracking_keys(self) -> set[str]:
        """Keys that experiment tracking puts into a config, such as ``experiment_name``; none without it."""
        if self.tracking is None:
            return set()
        settings: Mapping[str, Any] = DEFAULT_EXP_MGMT_SETTINGS.get(str(self.tracking), {})
        settings = settings or ConfigParser.load_config_files(self.tracking)
        return set(settings.get("configs", {}))


def _is_switch(name: str, default: Any) -> bool:
    """Whether an option may mean True by its name alone."""
    return name in SWITCHES or isinstance(default, bool) or str(default).endswith("is_available()")


def _counts_epochs(iterations: Any) -> bool:
    """Whether a config's ``iterations`` follow from its ``epochs``."""
    return iterations is None or "@epochs" in str(iterations)


def invocation(arguments: Sequence[str] | None = None) -> Invocation | None:
    """Take this process's command line apart; None when it is not a ``monai.bundle run`` (a test, a notebook).

    Args:
        arguments: the command line with the program first; default ``sys.argv``.
    """
    argv = list(sys.argv if arguments is None else arguments)
    options: dict[str, str | None] = {}  # None: nothing stands behind it, and Fire takes it for True
    key = None
    for word in argv[1:]:
        if word.startswith("--"):
            key, _, value = word[2:].partition("=")
            key = key.replace("-", "_")  # as Fire does
            options[key] = value or None
            if value:
                key = None
        elif key is not None:
            options[key] = word
            key = None
    if "run" not in argv[1:]:
        return None
    file = options.get("args_file")
    values = options_in(file) if file else {}
    given = {name: True if text is None else fire_value(text) for name, text in options.items()}
    values |= {name: value for name, value in given.items() if name != "config_file"}
    named = options.get("config_file", values.get("config_file"))
    if not named:
        return None
    return Invocation(
        config_files=tuple(Path(name).as_posix() for name in names_of(named)),
        overrides={name: value for name, value in values.items() if name not in _RUN_ARGUMENTS},
        command=" ".join(argv),
        tracking=values.get("tracking"),
        without_value=frozenset(name for name, text in options.items() if text is None),
    )


def options_in(args_file: str | Path) -> dict[str, Any]:
    """The options of a file for ``--args_file``, which those of the command line replace.

    Raises:
        UserError: no such file, or one that is no table of options.
    """
    if not Path(args_file).is_file():
        raise UserError(args_file, found="no such file", remedy="correct --args_file")
    try:
        return dict(ConfigParser.load_config_file(args_file))
    except Exception as error:
        what = "a JSON or YAML file of options, such as plan.json of `plan --output plan.json`"
        raise UserError(args_file, expected=what, found=f"{type(error).__name__}: {error}") from error


# a value that comes from the recipe of fine-tuning: of the kind that the paper's has
_OF_RECIPE = re.compile(r'\$@recipe\["(\w+)"\]')
_EXPRESSIONS = ("$", "@", "%")
# a default that a file of weights may replace; its own stands last
_FROM_MODEL = re.compile(r"\$monai_cl\.engines\.from_model\(@\w+, [\"']\w+[\"'], (.*)\)")


# a number in the configs, which may be several values as well: ids of scans, a range
_ONE_OR_SEVERAL = ("labelled_scans", "crop_area")
# words that mean "not set", where an option accepts them
_UNSET = ("none", "null")


def stated_default(value: Any) -> Any:
    """A config's own value of a setting that a file of weights may replace; any other value as it is.

    Args:
        value: as written in the config.
    """
    stated = _FROM_MODEL.fullmatch(value) if isinstance(value, str) else None
    return value if stated is None else ast.literal_eval(stated[1])


def type_fault(default: Any, given: Any) -> str | None:
    """What was expected instead of ``given``, or None where it is allowed.

    Args:
        default: the value in the config; nothing is known about an expression, a text or null.
        given: the value that replaces it; expressions and references are left to MONAI.
    """
    if isinstance(given, str) and (given.startswith(_EXPRESSIONS) or given.lower() in _UNSET):
        return None
    default = stated_default(default)
    if isinstance(default, bool):
        return None if isinstance(given, bool) else "True or False"
    if isinstance(default, int):
        whole = isinstance(given, int) or (isinstance(given, float) and given.is_integer())
        return None if whole and not isinstance(given, bool) else "an integer"
    if isinstance(default, float):
        return None if isinstance(given, (int, float)) and not isinstance(given, bool) else "a number"
    if isinstance(default, list):
        # three equal edges may be given as one number
        return None if isinstance(given, (list, tuple, int, float)) and not isinstance(given, bool) else "a list"
    if isinstance(default, dict):
        components = isinstance(given, list) and all(isinstance(part, dict) and "_target_" in part for part in given)
        return None if isinstance(given, dict) or (given and components) else "an object of options"
    return None
