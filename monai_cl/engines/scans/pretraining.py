"""What a pre-training on whole scans is asked before any is prepared: its labels, and options that it does not use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_cl.data import DataList
from monai_cl.engines.slices.data import class_count
from monai_cl.errors import UserError
from monai_cl.losses.hybrid import LABELS


def check_label_heads(data_list: DataList, label_heads: Mapping[str, int]) -> None:
    """Refuse heads that the labels of a list cannot teach.

    Args:
        data_list: of the pre-training; its training items count.
        label_heads: head -> number of its outputs: ``target`` 1 for two classes, otherwise one for each; ``findings``
            one for each of the list's names; ``slice_findings`` 1, for every slice.

    Raises:
        UserError: an unknown head, one of which no item has a label, or another number of outputs.
    """
    for head, outputs in label_heads.items():
        if head not in LABELS:
            raise UserError("label_heads", expected=f"some of {', '.join(LABELS)}", found=head)
        if head == "target":
            classes = class_count(data_list)
            needed, why = 1 if classes == 2 else classes, f"{classes} classes"
        else:
            names = data_list.finding_names
            slices = head == "slice_findings"
            needed, why = (1, "each slice") if slices else (len(names), f"the findings {', '.join(names)}")
            if not any(item.get(head) for item in data_list.items("training")):
                also = "" if slices else " and finding_names to the list"
                raise UserError(
                    data_list.path,
                    expected=f"items with {head}",
                    found="none under 'training'",
                    remedy=f"add {head} to the items{also}, or leave the head out",
                )
        if isinstance(outputs, bool) or outputs != needed:
            given = dict(label_heads) | {head: needed}
            raise UserError(
                f"label_heads: {head}",
                expected=f"{needed}, for {why}",
                found=outputs,
                remedy=f'set --label_heads "{given}"',
            )


def refuse_unused(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse options of a training that its pre-training would ignore.

    Args:
        given: option -> value.
        defaults: option -> what it is where nobody gave it.

    Raises:
        UserError: names the first that has another value.
    """
    for name, value in given.items():
        if value != defaults[name]:
            raise UserError(
                f"--{name}",
                expected="an option of the pre-training",
                found="one of the training behind it, which would be ignored here",
                remedy="leave it out",
            )
