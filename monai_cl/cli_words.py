"""The words of a command line, looked at before Fire runs the command: help, and options that do not exist.

Fire calls a command with the options it knows and complains of the others afterwards, when the work is done; and where
a command takes arbitrary overrides it takes ``--help`` for one.
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
    """Refuse a command that does not exist, and an option or a value that a command has no place for.

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
    for option in options:
        one_letter = len(option) == 1 and any(name.startswith(option) for name in known)
        if option in known or one_letter or (option.startswith("no") and option[2:] in known):
            continue
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean --{near[0]}?" if near else f"it has {', '.join('--' + name for name in known)}"
            raise UserError(f"--{option}: {' '.join(named)} has no such option; {hint}")
    left = [name for name in places if name not in options]
    if inspect.Parameter.VAR_POSITIONAL not in kinds and len(values) > len(left):
        raise UserError(f"{values[len(left)]}: {' '.join(named)} has no place for it; name the option it belongs to")


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


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Names of options, and values that stand alone, as Fire parses them: the word after an option is its value."""
    options: list[str] = []
    values: list[str] = []
    open_option = False
    for word in words:
        if word == "--":  # Fire's own options follow
            break
        if _FLAG.match(word):
            name, equals, _ = word.lstrip("-").partition("=")
            options.append(name.replace("-", "_"))
            open_option = not equals
        elif open_option:
            open_option = False
        else:
            values.append(word)
    return options, values
