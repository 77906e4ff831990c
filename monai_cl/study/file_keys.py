"""The keys of a study's YAML file: each there once, and none that nobody reads."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from monai_cl.errors import UserError


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys, and a whole arm would be gone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        named = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=deep) for key in named]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def read_keys(path: Path, *, required: Sequence[str]) -> dict[str, Any]:
    """The keys of a study's file and their values.

    Args:
        path: the file.
        required: keys that it must have, for the message.

    Raises:
        UserError: it cannot be read, is not YAML or no object of keys.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 -- a safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, expected="a study's YAML file", cause=error) from error
    except yaml.YAMLError as error:
        raise UserError(path, expected="YAML", cause=" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise UserError(path, expected=f"the keys {', '.join(required)}", found=type(content).__name__)
    return content


def mapping(path: Path, key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The object below a key; an empty one where it is absent."""
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(path, expected=f"{key}: an object of keys", found=f"{value!r}")
    return value


def sequence(path: Path, key: str, value: Any) -> Sequence[Any]:
    """``value``, which has to be a list."""
    if not isinstance(value, list):
        raise UserError(path, expected=f"{key}: a list", found=f"{value!r}")
    return value


def known(path: Path, what: str, content: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Refuse a key that is none of ``keys``, with the one that was meant."""
    for key in content:
        if key not in keys:
            raise UserError(path, found=f"{what} has no key {key!r}{_hint(str(key), keys)}")


def one_of(path: Path, what: str, name: Any, names: Mapping[str, Any]) -> None:
    """Refuse a name that nothing bears, likewise."""
    if name not in names:
        raise UserError(path, found=f"no {what} {name!r}{_hint(str(name), list(names))}")


def _hint(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names) or 'none'}"
