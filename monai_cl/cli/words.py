"""The words of a command line, checked before Fire runs the command: help, and options that do not exist.

Fire calls a command with the options it knows and reports the others afterwards, when the work is done; where a command
takes arbitrary overrides, it takes ``--help`` for one; it passes ``--overwrite false`` as a text, which would be true,
and a folder called 2024 as a number.
"""

from __future__ import annotations

import difflib
import inspect
import re
from dataclasses import dataclass
from typing import Any

from monai_cl.compat import fire_value
from monai_cl.errors import UserError
from monai_cl.switches import WORDS

_FLAG = re.compile(r"--|-[A-Za-z]")  # -3 is therefore a value


def help_words(commands: Any, words: list[str]) -> list[str] | None:
    """The command line that shows a command's help where ``--help`` or ``-h`` is among the words; None otherwise."""
    if "--" in words or not {"--help", "-h"} & set(words):
        return None
    named, _ = find_command(commands, words)
    return [*named, "--", "--help"]


def check_words(commands: Any, words: list[str]) -> None:
    """Refuse a command that does not exist, an option or a value that a command does not take, and a value of another
    kind than its parameter is annotated with: ``--overwrite no``, ``--workers two``.

    Raises:
        UserError: names the nearest command or option.
    """
    named, command = find_command(commands, words)
    if not inspect.isroutine(command):
        _check_command(command, named, words[len(named) :])
        return
    parameters = inspect.signature(command).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    known = [p.name for p in parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    typed = _given(command, words[len(named) :])
    for option in (word for word in typed if word.option):
        name = option.name
        several = len(name) == 1 and any(other.startswith(name) for other in known)  # Fire asks which one is meant
        if name in known:
            _check_kind(name, parameters[name].annotation, option.value)
        elif several or (name.startswith("no") and name[2:] in known and option.value is None):
            continue
        elif inspect.Parameter.VAR_KEYWORD not in kinds:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean --{near[0]}?" if near else f"it has {', '.join('--' + other for other in known)}"
            raise UserError(f"--{name}", found=f"{' '.join(named)} has no such option", remedy=hint)
    for word in typed:
        if word.name is None:
            raise UserError(
                word.value, found=f"{' '.join(named)} does not take it", remedy="name the option it belongs to"
            )
        if not word.option:
            _check_kind(word.name, parameters[word.name].annotation, word.value)


def typed_words(commands: Any, words: list[str]) -> list[str]:
    """The words with values as their parameters are annotated, where Fire would read them otherwise.

    Texts are put in quotes: a series may be called 1.20 (not 1.2), a folder 2024. ``true`` and ``false`` are no texts.
    """
    named, command = find_command(commands, words)
    if not inspect.isroutine(command):
        return words
    parameters, typed = inspect.signature(command).parameters, list(words)
    for word in _given(command, words[len(named) :]):
        if word.value is None or word.name not in parameters:
            continue
        annotation, place = parameters[word.name].annotation, len(named) + word.place
        if annotation == "bool" and word.value in WORDS:
            typed[place] = words[place].removesuffix(word.value) + str(WORDS[word.value])
        elif annotation in _TEXTS and not isinstance(fire_value(word.value), str | None):
            typed[place] = words[place].removesuffix(word.value) + repr(word.value)
    # of a group that is a command itself Fire takes values without a name only this way
    return [*named, command.__name__, *typed[len(named) :]] if command.__name__ == "__call__" else typed


# annotation -> what is expected, and what Fire must have made of the word
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "bool": ("True or False", (bool,)),
    "int": ("an integer", (int,)),
    "int | None": ("an integer or None", (int, type(None))),
    "float": ("a number", (int, float)),
}
_TEXTS = ("str", "str | None", "str | os.PathLike", "str | Path")


def _check_kind(name: str, annotation: Any, word: str | None) -> None:
    """Refuse a value that is not of the annotation's kind; without a value an option is True."""
    expected, types = _KINDS.get(annotation, ("a value", ()))
    if word is None:
        if annotation in _TEXTS or (types and bool not in types):
            raise UserError(f"--{name}", expected=expected, found="nothing after it")
    elif types:
        value = WORDS.get(word, fire_value(word)) if bool in types else fire_value(word)
        if not isinstance(value, types) or isinstance(value, bool) != (bool in types):
            raise UserError(f"--{name}", expected=expected, found=f"{word!r}")


def _check_command(group: Any, named: list[str], left: list[str]) -> None:
    """Refuse a word that is not a command of a group."""
    if not left or left[0].startswith("-"):
        return
    known = [name for name in dir(group) if not name.startswith("_")]
    near = difflib.get_close_matches(left[0], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise UserError(left[0], found=" ".join(["no such command", *(["of"] if named else []), *named]), remedy=hint)


def find_command(commands: Any, words: list[str]) -> tuple[list[str], Any]:
    """The words that name a command or a group of commands, and that command or group."""
    command, named = commands, []
    for word in words:
        if word.startswith(("-", "_")) or inspect.isroutine(command) or not hasattr(command, word):
            break
        command = getattr(command, word)
        named.append(word)
    itself = callable(command) and not inspect.isroutine(command) and not inspect.isclass(command)
    return named, command.__call__ if itself else command  # a group may be a command itself


@dataclass
class _Given:
    """A value of a command line: of an option, or alone, and then for the next parameter without one.

    Attributes:
        name: the parameter's; the option as written where there is no such parameter, or None.
        value: None for an option without a value.
        option: whether the name was written.
        place: index of the word that holds the value.
    """

    name: str | None
    value: str | None
    option: bool
    place: int


def _given(command: Any, words: list[str]) -> list[_Given]:
    """What the words give a command, as Fire parses them: the word after an option is its value."""
    parameters = inspect.signature(command).parameters.values()
    known = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    typed: list[_Given] = []
    open_option = False
    for place, word in enumerate(words):
        if word == "--":  # Fire's own options follow
            break
        if _FLAG.match(word):
            name, equals, value = word.lstrip("-").partition("=")
            name = _full_name(name.replace("-", "_"), known)
            typed.append(_Given(name, value if equals else None, True, place))
            open_option = not equals
        elif open_option:
            typed[-1].value, typed[-1].place = word, place
            open_option = False
        else:
            typed.append(_Given(None, word, False, place))
    taken = {typed_word.name for typed_word in typed if typed_word.option}
    places = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in taken
    ]
    many = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    for number, typed_word in enumerate(typed_word for typed_word in typed if not typed_word.option):
        typed_word.name = places[number] if number < len(places) else many
    return typed


def _full_name(option: str, known: list[str]) -> str:
    """The option that a letter stands for, where it stands for one."""
    meant = [name for name in known if name.startswith(option)] if len(option) == 1 else []
    return meant[0] if option not in known and len(meant) == 1 else option
