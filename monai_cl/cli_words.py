"""The words of a command line, looked at before Fire runs the command: help, and options that do not exist.

Fire calls a command with the options it knows and complains of the others afterwards, when the work is done; where a
command takes arbitrary overrides it takes ``--help`` for one; and ``--overwrite false`` it hands over as a text, which
is true.
"""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any

from monai_cl.errors import UserError

_FLAG = re.compile(r"--|-[A-Za-z]")  # and so -3 is a value


def help_words(commands: Any, words: list[str]) -> list[str] | None:
    """The command line that shows a command's help where ``--help`` or ``-h`` is among the words; None otherwise."""
    if "--" in words or not {"--help", "-h"} & set(words):
        return None
    named, _ = find_command(commands, words)
    return [*named, "--", "--help"]


def check_words(commands: Any, words: list[str]) -> None:
    """Refuse a command that does not exist, an option or a value that a command has no place for, and a switch (a
    parameter annotated ``bool``) that is neither True nor False.

    Raises:
        UserError: names the nearest command or option.
    """
    named, command = find_command(commands, words)
    if not inspect.isroutine(command):
        _check_command(command, named, words[len(named) :])
        return
    parameters = inspect.signature(command).parameters.values()
    kinds = {parameter.kind for parameter in parameters}
    known = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    options, values = _split(words[len(named) :])
    switches = {p.name for p in parameters if p.annotation in (bool, "bool")}
    for option, value in options:
        full = _full_name(option, known)
        if full in known:
            if full in switches and value is not None:
                _check_switch(full, value)
            continue
        several = len(option) == 1 and any(name.startswith(option) for name in known)  # Fire asks which is meant
        if several or (option.startswith("no") and option[2:] in known and value is None):
            continue
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean --{near[0]}?" if near else f"it has {', '.join('--' + name for name in known)}"
            raise UserError(f"--{option}: {' '.join(named)} has no such option; {hint}")
    given = {_full_name(option, known) for option, _ in options}
    left = [name for name in places if name not in given]
    for name, value in zip(left, values):
        if name in switches:
            _check_switch(name, value)
    if inspect.Parameter.VAR_POSITIONAL not in kinds and len(values) > len(left):
        raise UserError(f"{values[len(left)]}: {' '.join(named)} has no place for it; name the option it belongs to")


def _full_name(option: str, known: list[str]) -> str:
    """The option that a letter stands for, where it stands for one."""
    meant = [name for name in known if name.startswith(option)] if len(option) == 1 else []
    return meant[0] if option not in known and len(meant) == 1 else option


def _check_switch(name: str, word: str) -> None:
    """Refuse what Fire would not make a bool of."""
    if word not in ("True", "False"):
        raise UserError(f"--{name}: expected True or False, found {word!r}")


def _check_command(group: Any, named: list[str], left: list[str]) -> None:
    """Refuse a word that names no command of a group."""
    if not left or left[0].startswith("-"):
        return
    known = [name for name in dir(group) if not name.startswith("_")]
    near = difflib.get_close_matches(left[0], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise UserError(f"{left[0]}: {' '.join(['no such command', *(['of'] if named else []), *named])}; {hint}")


def find_command(commands: Any, words: list[str]) -> tuple[list[str], Any]:
    """The words that name a command or a group of commands, and that command or group."""
    command, named = commands, []
    for word in words:
        if word.startswith(("-", "_")) or inspect.isroutine(command) or not hasattr(command, word):
            break
        command = getattr(command, word)
        named.append(word)
    return named, command


def _split(words: list[str]) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Options with their values, and values that stand alone, as Fire parses them: the word after an option is its
    value."""
    options: list[tuple[str, str | None]] = []
    values: list[str] = []
    open_option = False
    for word in words:
        if word == "--":  # Fire's own options follow
            break
        if _FLAG.match(word):
            name, equals, value = word.lstrip("-").partition("=")
            options.append((name.replace("-", "_"), value if equals else None))
            open_option = not equals
        elif open_option:
            options[-1] = options[-1][0], word
            open_option = False
        else:
            values.append(word)
    return options, values
