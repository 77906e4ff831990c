"""``python -m monai_cl store list | prune``: what a store holds for which list, and what no list needs."""

from __future__ import annotations

from typing import Any

from monai_cl.cli.disk.answers import agreed
from monai_cl.errors import echo
from monai_cl.files import size_in_words


def list_command(store: str, *lists: str, data_root: str | None = None, allow_outside: bool = False) -> None:
    """Say what a store holds for which data list, in volumes and bytes.

    Example:
        python -m monai_cl store list /data/store /data/spleen.json /data/pretraining.json

    Args:
        store: folder of the prepared volumes.
        lists: data lists (.json) to look for in it.
        data_root: folder the lists' paths start from; default: the folder of each list.
        allow_outside: trust lists whose paths or links leave data_root.
    """
    from monai_cl.data import held_volumes

    held = held_volumes(*_opened(store, lists, data_root, allow_outside))
    rows: dict[tuple[str, str], list[int]] = {}
    for one in held:
        name = " and ".join(one.lists) or ("no list" if lists else "-")
        name = f"{name}, outdated" if one.outdated else name
        rows.setdefault((name, one.preparation), []).append(one.bytes)
    for (name, preparation), sizes in sorted(rows.items()):
        echo(f"{len(sizes):6d} volumes  {size_in_words(sum(sizes)):>10}  {name}  ({preparation})")
    echo(f"{store}: {len(held)} volumes, {size_in_words(sum(one.bytes for one in held))}")


def prune_command(
    store: str, *lists: str, data_root: str | None = None, allow_outside: bool = False, yes: bool = False
) -> None:
    """Delete the prepared volumes that none of the lists needs: of other scans, or with content that has changed.

    Name every list that the store is for. Asks first. Nothing of the sources is touched; what was deleted is prepared
    again when a run needs it. Damaged volumes are left to `store repair`.

    Example:
        python -m monai_cl store prune /data/store /data/spleen.json /data/pretraining.json

    Args:
        store: folder of the prepared volumes.
        lists: data lists (.json) whose volumes stay.
        data_root: folder the lists' paths start from; default: the folder of each list.
        allow_outside: trust lists whose paths or links leave data_root.
        yes: delete without asking.
    """
    from monai_cl.data import remove_volumes, unneeded_volumes
    from monai_cl.data.store.shared_images import bytes_freed

    opened, contents = _opened(store, lists, data_root, allow_outside)
    chosen, count = unneeded_volumes(opened, contents), len(opened.all_keys())
    if not chosen:
        echo(f"{store}: every one of its {count} volumes is needed")
        return
    for one in chosen:
        echo(f"{size_in_words(one.bytes):>10}  {one.key}{'  (outdated)' if one.outdated else ''}")
    total = size_in_words(bytes_freed(opened.root / one.key for one in chosen))
    if not yes and not agreed(f"delete these {len(chosen)} of {count} volumes, {total}?"):
        echo("nothing was deleted")
        return
    echo(f"deleted {len(chosen)} volumes, {size_in_words(remove_volumes(opened, chosen))}")


def _opened(store: str, lists: tuple[str, ...], data_root: str | None, allow_outside: bool) -> tuple[Any, list[Any]]:
    from monai_cl.data import VolumeStore, load_data_list

    contents = [load_data_list(str(path), data_root=data_root, allow_outside=allow_outside) for path in lists]
    return VolumeStore.open(str(store)), contents
