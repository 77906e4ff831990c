"""Overlays as strips: image, truth, and prediction and difference of every start, side by side or one in place of the
other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

from monai_cl.report.page.panels import Panel, Panels, split_panels, whole_picture
from monai_cl.report.page.pictures import (
    OVERLAYS_PER_RUN,
    case_of,
    legend_html,
    more_pictures,
    notes_html,
    picture_figure,
    read_picture,
)
from monai_cl.report.runs import Run
from monai_cl.report.starts import start_labels

# of a data list; the others stay in the runs' folders and are counted
MOST_CASES = 4
# the style sheet has a rule for each place of the switch
MOST_PANELS = 12
# panels that are the same for every run of a case
_SHARED = ("image", "truth")


@dataclass(frozen=True)
class _Overlay:
    """One run's picture of a case."""

    start: str
    run: Run
    content: bytes
    dice: float | None


def strips_html(runs: Sequence[Run], name_case: Callable[[str], str], *, private: bool = False) -> str:
    """A strip for each case: the first of every data list at once, the others folded away.

    Of several seeds the first is shown.

    Args:
        runs: segmentation runs.
        name_case: how a case id is shown.
        private: leave out pictures that may show the id in their pixels.
    """
    cases, notes = _overlays(runs, name_case, private=private)
    shown: list[str] = []
    folded: list[str] = []
    seen: Counter[tuple] = Counter()
    for (data, case), overlays in cases.items():
        seen[data] += 1
        if seen[data] > MOST_CASES:
            continue
        first = min(overlay.run.seed for overlay in overlays)
        seeds = sorted({overlay.run.seed for overlay in overlays})
        heading = f"{overlays[0].run.data_name}, {name_case(case)}"
        heading += f", seed {first} (of {', '.join(map(str, seeds))})" if len(seeds) > 1 else ""
        kept = _first_seeds(overlays)
        strip = _strip(kept, heading, number=len(shown) + len(folded))
        (folded if seen[data] > 1 else shown).append(strip)
    left_out = sum(count - MOST_CASES for count in seen.values() if count > MOST_CASES)
    if left_out:
        notes.append(f"Pictures of {left_out} more cases are in the runs' folders.")
    more = f"{len(folded)} more case{'' if len(folded) == 1 else 's'}"
    rest = f"<details><summary>{more}</summary>\n{''.join(folded)}</details>\n" if folded else ""
    return "".join(shown) + rest + notes_html(notes)


def _overlays(
    runs: Sequence[Run], name_case: Callable[[str], str], *, private: bool
) -> tuple[dict[tuple, list[_Overlay]], list[str]]:
    labels = start_labels(runs)
    cases: dict[tuple, list[_Overlay]] = defaultdict(list)
    notes: list[str] = []
    for run in runs:
        for name in (run.results.get("overlays") or [])[:OVERLAYS_PER_RUN]:
            content = read_picture(run.folder, name, private=private)
            if isinstance(content, str):
                notes.append(f"{run.name}, {name_case(case_of(name))}: {content}.")
                continue
            found = _Overlay(labels[run.initialisation], run, content, _dice_of(run, case_of(name)))
            cases[run.data_key, case_of(name)].append(found)
        notes += more_pictures(run)
    return cases, notes


def _first_seeds(overlays: Sequence[_Overlay]) -> list[_Overlay]:
    """Of each start the runs with its first seed, under the run's name where there are several."""
    by_start: dict[str, list[_Overlay]] = defaultdict(list)
    for overlay in overlays:
        by_start[overlay.start].append(overlay)
    kept = []
    for start, own in by_start.items():
        first = [overlay for overlay in own if overlay.run.seed == min(other.run.seed for other in own)]
        kept += [replace(one, start=f"{start}, {one.run.name}") for one in first] if len(first) > 1 else first
    return kept


def _strip(overlays: Sequence[_Overlay], heading: str, *, number: int) -> str:
    """The panels of a case, what is the same for all runs once; a switch where there is more than one panel."""
    panels: list[tuple[str, Panel]] = []
    legend: dict[str, str] = {}
    for overlay in overlays:
        dice = "" if overlay.dice is None else f", mean Dice {overlay.dice:.3f}"
        split = split_panels(overlay.content)
        if split is None:
            panels.append((f"{overlay.start}{dice}", whole_picture(overlay.content)))
            continue
        legend |= dict(split.legend)
        panels += _named(split, overlay.start, dice, known=[panel.content for _, panel in panels])
    panels = panels[:MOST_PANELS]
    figures = "".join(
        picture_figure(panel, caption=caption, alt=f"{heading}: {caption}; slices of the image")
        for caption, panel in panels
    )
    whole = all(not panel.name for _, panel in panels)
    body = f'<div class="panels{" whole" if whole else ""}">{figures}</div>\n'
    if len(panels) > 1:
        names = ["all", *(caption.partition(", mean Dice")[0] for caption, _ in panels)]
        switch = "".join(
            f'<label><input type="radio" name="strip{number}"{"" if place else " checked"}>{escape(name)}</label>'
            for place, name in enumerate(names)
        )
        body = f"{switch}\n{body}"
    return f'<fieldset class="strip"><legend>{escape(heading)}</legend>\n{body}{_legend(legend)}</fieldset>\n'


def _named(split: Panels, start: str, dice: str, *, known: Sequence[bytes]) -> list[tuple[str, Panel]]:
    named = []
    for panel in split.panels:
        if panel.name in _SHARED:
            if panel.content not in known:
                named.append((panel.name if not known else f"{panel.name}, {start}", panel))
        elif panel.name == "prediction":
            named.append((f"{start}{dice}", panel))
        else:
            named.append((f"{panel.name}, {start}", panel))
    return named


def _legend(colours: dict[str, str]) -> str:
    if not colours:
        return ""
    return (
        f'{legend_html(colours)}<p class="hint">Radiological view: patient right (R) on the left. Dotted '
        "white: truth. Difference: blue missed, red wrong. Choose a panel and point at it: it "
        "shows the truth.</p>\n"
    )


def _dice_of(run: Run, stem: str) -> float | None:
    for case in run.per_case:
        if case["id"] == stem:
            values = [value for value in case["dice"].values() if value is not None]
            return sum(values) / len(values) if values else None
    return None
