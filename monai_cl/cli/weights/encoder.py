"""``python -m monai_cl encoder show``: what a file of weights is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monai_cl.errors import echo


class EncoderCommands:
    """Look at files of weights: encoders, models, checkpoints, of this project or from elsewhere."""

    def show(self, file: str, *, json: bool = False) -> None:
        """Print what a file of weights is: which network, which input it takes, what it was trained on.

        Nothing in the file is executed.

        Example:
            python -m monai_cl encoder show encoder.pt

        Args:
            file: encoder.pt, model.pt, checkpoint_iteration=N.pt, or a file of weights from elsewhere.
            json: print JSON for other programs.
        """
        from json import dumps

        from monai_cl.networks.foreign.inspection import inspect_weights

        found = inspect_weights(str(file))
        echo(dumps(found, indent=1, ensure_ascii=False, default=str) if json else "\n".join(_lines(found)))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    about = found["record"] or {}
    kind = about.get("kind")
    yield f"{found['file']}: {found['what']}" + (f" ({kind})" if kind and kind != found["what"] else "")
    rows = _of_record(about) if about else _of_names(found)
    parts = ", ".join(f"{part} {count}" for part, count in found["parts"].items())
    tensors = f"{found['tensors']} ({found['parameters'] / 1e6:.1f} million parameters): {parts}"
    for name, value in {**rows, "tensors": tensors, "sha256": found["sha256"]}.items():
        if value not in (None, "", [], {}):
            yield f"  {name:14s} {_text(value)}"


def _of_record(about: Mapping[str, Any]) -> dict[str, Any]:
    training, network = about.get("training") or {}, about.get("network") or {}
    lists = [f"{one.get('name')} ({one.get('cases')} scans)" for one in training.get("data_lists") or []]
    versions = training.get("versions") or {}
    encoder = about.get("encoder")
    return {
        "bundle": about.get("bundle"),
        "preset": about.get("preset"),
        "network": network.get("class"),
        **{f"  {key}": value for key, value in (network.get("arguments") or {}).items()},
        "input": " ",
        **{f"  {key}": value for key, value in (about.get("preprocessing") or {}).items()},
        "organs": about.get("organs"),
        "trained on": lists,
        "iterations": training.get("iterations"),
        "seed": training.get("seed"),
        "versions": [f"{name} {version}" for name, version in versions.items() if version],
        "commit": training.get("commit"),
        "started from": encoder and f"{encoder.get('preset') or 'an encoder'} (sha256 {encoder.get('sha256')})",
    }


def _of_names(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "input": "not known: written elsewhere or by an earlier version; the config's spacing, window, ... are used",
        "looks like": found["looks_like"] or "a network that is not known here",
        **{f"  {key}": value for key, value in found["sizes"].items()},
        "what to do": found["elsewhere"],
        "lies under": found["under"],
        "beside it": found["other_keys"],
        "names begin": found["prefix"],
        "unused": f"{found['unused']} tensors of another version, left out in loading" if found["unused"] else None,
    }


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
