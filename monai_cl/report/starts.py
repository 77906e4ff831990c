"""What runs started from: which encoder files are one start, and what a start is called."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from monai_cl.report.runs import SCRATCH, Run, posix


def start_keys(runs: Sequence[Run]) -> dict[str, str]:
    """Initialisation as written in the results -> the first initialisation that is the same start.

    A study pre-trains one encoder for each seed. Encoders of one recipe, which differ in their seed only, are one start
    where no seed of the runs has two of them.

    Args:
        runs: segmentation runs.
    """
    keys = {run.initialisation: run.initialisation for run in runs}
    recipes: dict[str, dict[str, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for run in runs:
        recipe = _recipe(run)
        if recipe is not None:
            recipes[recipe][run.initialisation].add(run.seed)
    for encoders in recipes.values():
        seeds = [seed for own in encoders.values() for seed in own]
        if len(seeds) == len(set(seeds)):
            keys |= dict.fromkeys(encoders, next(iter(encoders)))
    return keys


def start_labels(runs: Sequence[Run]) -> dict[str, str]:
    """Initialisation as written in the results -> a short name: scratch, pre-trained, or pre-trained (what it is).

    Starts are distinguished by the preset of their pre-training or, where that is not enough, by as few parts of the
    encoder's path as needed, from where they differ. A file of which no run took any tensor of an encoder, such as the
    model of an evaluation that was trained from scratch, is "not pre-trained".

    Args:
        runs: segmentation runs.
    """
    keys = start_keys(runs)
    encoders = sorted(set(keys.values()) - {SCRATCH})
    taken = {keys[run.initialisation] for run in runs if run.is_pretrained}
    word = {encoder: "pre-trained" if encoder in taken else "not pre-trained" for encoder in encoders}
    if len(encoders) > 1:
        ends = _presets(runs, keys) or _path_ends(encoders)
        word = {encoder: f"{word[encoder]} ({ends[encoder]})" for encoder in encoders}
    return {SCRATCH: SCRATCH} | {given: word.get(key, SCRATCH) for given, key in keys.items()}


def _recipe(run: Run) -> str | None:
    """What the encoder's pre-training was, without its seed; None where it was not recorded."""
    encoder = run.results.get("encoder") or {}
    training = encoder.get("training")
    if not run.is_pretrained or not training:
        return None
    kept = {key: encoder.get(key) for key in ("bundle", "preset", "network", "preprocessing", "encoder")}
    kept |= {key: training.get(key) for key in ("data_lists", "iterations")}
    return json.dumps(kept, sort_keys=True, default=str)


def _presets(runs: Sequence[Run], keys: dict[str, str]) -> dict[str, str] | None:
    """Encoder -> preset of its pre-training; None where that does not tell them apart."""
    presets = {keys[r.initialisation]: (r.results.get("encoder") or {}).get("preset") for r in runs if r.is_pretrained}
    others = set(keys.values()) - {SCRATCH}
    known = {encoder: str(preset) for encoder, preset in presets.items() if preset}
    return known if known.keys() == others and len(set(known.values())) == len(known) else None


def _path_ends(encoders: Sequence[str]) -> dict[str, str]:
    parts = {encoder: posix(encoder).with_suffix("").parts for encoder in encoders}
    while len({part[-1] for part in parts.values()}) == 1 and min(map(len, parts.values())) > 1:
        parts = {encoder: part[:-1] for encoder, part in parts.items()}
    depth = 1
    while depth < max(map(len, parts.values())) and len({part[-depth:] for part in parts.values()}) < len(encoders):
        depth += 1
    ends = {encoder: "/".join(part[-depth:]) for encoder, part in parts.items()}
    # where they differ in the suffix only
    return ends if len(set(ends.values())) == len(encoders) else {encoder: encoder for encoder in encoders}
