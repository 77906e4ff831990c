"""``python -m monai_cl datalist from_table``: a data list with what a CSV or TSV table says of the patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_cl.errors import UserError, echo


def datalist_from_table_command(
    table: str,
    output: str,
    scans: str,
    preset: str | None = None,
    patient: str | None = None,
    value: str | None = None,
    fields: Any = (),
    mapping: Any = None,
    targets: Any = None,
    skip_rows: int | None = None,
    name: str | None = None,
    folds: int | None = 5,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write a data list with a class, or grades, of each patient, from a table of patients and their scans.

    The scans are those of another list. Patients without a class are left out, and counted.

    Examples:
        python -m monai_cl datalist from_table clinical.txt tcga.json --preset tcga_lihc --scans scans.json
        python -m monai_cl datalist from_table stages.csv stages.json --scans my_ct.json --patient id --value stage
        python -m monai_cl datalist from_table stages.csv graded.json --scans my_ct.json --patient id --fields stage

    Args:
        table: CSV or TSV file; its first line names the columns.
        output: the list to write.
        scans: a data list whose training items name their patients.
        preset: "tcga_lihc" has the columns and Ishak groups of TCGA's clinical table; other options take precedence.
        patient: column with the patients.
        value: column with the values that become classes.
        fields: columns that the items get as they are, in their meta, such as grades that a classifier may learn
            (--target_field).
        mapping: value to class as JSON, e.g. '{"0": 0, "5": 1, "6": 1}'; null for not known. Without it, values are
            classes.
        targets: names of the classes as JSON, e.g. '{"0": "Ishak 0-4", "1": "Ishak 5-6"}'.
        skip_rows: lines below the first that are not patients.
        name: name of the data set.
        folds: number of folds, stratified by class and kept together by patient; 0 for none.
        seed: another seed gives another division.
        overwrite: replace an existing list.
    """
    from monai_cl.data.datalist.from_table import PRESETS, list_from_list
    from monai_cl.data.datalist.json_files import write_json
    from monai_cl.data.datalist.loading import load_data_list

    target = Path(str(output))
    if target.exists() and not overwrite:
        raise UserError(target, found="exists already and is kept", remedy="choose another name or pass --overwrite")
    if preset is not None and preset not in PRESETS:
        raise UserError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    known = PRESETS.get(preset) if preset is not None else None
    options: dict[str, Any] = {
        "patient": patient,
        "value": value,
        "mapping": _json(mapping, "mapping"),
        "targets": _json(targets, "targets"),
        "skip_rows": skip_rows,
    }
    if known is not None:
        options = {key: getattr(known, key) if chosen is None else chosen for key, chosen in options.items()}
    if options["patient"] is None:
        raise UserError("from_table", expected="--patient, the column with the patients, or a --preset")
    named = [fields] if isinstance(fields, str) else list(fields or ())
    columns = [name.strip() for text in named for name in str(text).split(",") if name.strip()]
    if options["value"] is None and not columns:
        raise UserError("from_table", expected="--value, the column with the classes, --fields, or a --preset")
    options |= {"fields": columns}
    options |= {"skip_rows": options["skip_rows"] or 0, "name": name, "folds": folds or None, "seed": seed}
    # where its scans lie is checked when the new list is used
    listed = load_data_list(str(scans), allow_outside=True).only_dataset
    document = listed.document | {"name": listed.name} | ({"root": listed.sub_root} if listed.sub_root else {})
    made = list_from_list(str(table), document, **options)
    write_json(target, made.document, overwrite=overwrite)
    what = "class" if made.labels else " or ".join(columns)
    if made.labels:
        echo(made.labels.summary())
    if made.without_scan:
        echo(f"with a {what} but without a scan: {len(made.without_scan)} patients")
    if made.without_class:
        echo(f"with a scan but without a {what}, left out: {len(made.without_class)} patients")
    items = made.document["training"]
    counts = [_counts(items)] if made.labels else []
    counts += [f"{column} of {sum(column in item.get('meta', {}) for item in items)}" for column in columns]
    echo(f"{target}: {len(items)} scans, {', '.join(counts)}")
    if Path(str(scans)).resolve().parent != target.resolve().parent:
        echo(f"  the paths in it start where those of {scans} do: pass that folder as data_root")


def _counts(items: list[dict[str, Any]]) -> str:
    targets = [item["target"] for item in items]
    return ", ".join(f"class {target}: {targets.count(target)}" for target in sorted(set(targets)))


def _json(text: Any, what: str) -> dict | None:
    import json

    if text is None or isinstance(text, dict):
        return text
    try:
        document = json.loads(str(text))
    except json.JSONDecodeError as error:
        raise UserError(what, expected='JSON such as {"0": 0, "5": 1}', found=f"{text!r} ({error.msg})") from None
    if not isinstance(document, dict):
        raise UserError(what, expected='JSON such as {"0": 0, "5": 1}', found=f"{text!r}")
    return document
