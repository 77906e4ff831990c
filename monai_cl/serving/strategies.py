"""Which scan comes next, where MONAI Label's own way fails."""

from __future__ import annotations

import random
import time
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy


class RandomScan(Strategy):
    """Any scan without a label, one that was not served lately more likely.

    MONAI Label's fails where all were served within this second.
    """

    def __init__(self) -> None:
        super().__init__("Random Strategy")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """The ``id`` of a scan; None where all have a label."""
        scans = datastore.get_unlabeled_images()
        served = [datastore.get_image_info(scan).get("strategy", {}).get(request["strategy"], {}) for scan in scans]
        weights = [max(1, int(time.time()) - entry.get("ts", 0)) for entry in served]
        return {"id": random.choices(scans, weights=weights)[0]} if scans else None
