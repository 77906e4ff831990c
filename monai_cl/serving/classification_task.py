"""Classification of a scan for a client: JSON, no image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monailabel.tasks.infer.bundle import BundleInferTask

from monai_cl.data.io.result_names import result_name
from monai_cl.engines.classification.prediction_files import scan_record

DECISIVE = 4


class ClassificationTask(BundleInferTask):
    """A classification bundle's ``inference.yaml``.

    Returns ``prediction`` (in MONAI Label's form: index, label and score of every class) and what the bundle writes for
    a scan: probability, predicted class, probability of every slice, the most decisive slices.
    """

    def __init__(self, path: str, conf: Mapping[str, str]) -> None:
        # no restore step: it gives a label map the size of the scan, and fails on a number
        super().__init__(path, conf, load_strict=True, add_post_restore=False)
        self.classes = [str(name) for name in self.bundle_config.get_parsed_content("classes")]
        self.labels = {name: number for number, name in enumerate(self.classes)}

    def run_pre_transforms(self, data: dict[str, Any], transforms: Sequence[Any]) -> dict[str, Any]:
        """The request's own keys stay: MONAI Label looks at them later."""
        scan = result_name(data["image"])
        return {**data, **super().run_pre_transforms({**data, "id": scan, "patient": scan}, transforms)}

    def writer(self, data: dict[str, Any], extension: str | None = None, dtype: Any = None) -> tuple[None, Any]:
        """No file; see the class."""
        series = {key: [data[key]] for key in ("slice", "z", "depth", "id", "file", "mask")}
        record = scan_record(series, data[self.output_label_key], classes=self.classes, decisive=DECISIVE)
        scores = [1 - record["probability"], record["probability"]]
        prediction = [
            {"idx": number, "label": name, "score": score}
            for number, (name, score) in enumerate(zip(self.classes, scores))
        ]
        return None, {"prediction": prediction, **record}
