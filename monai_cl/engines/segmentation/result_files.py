"""The files that an inference writes for each scan: their names, whose they are, and what may not be replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.data.folder_layout import FolderLayoutBase
from monai.utils import ImageMetaKey

from monai_cl.data.io.result_names import result_name, result_names
from monai_cl.data.io.result_records import check_replaceable, scan_identity, write_record
from monai_cl.engines.workflow_types import state_of
from monai_cl.errors import echo
from monai_cl.switches import is_switched_on


class ResultFiles(FolderLayoutBase):
    """``<name>_<postfix>.nii.gz`` of every scan, and beside it ``<name>_<postfix>.json``, which says whose it is.

    For ``SaveImaged(folder_layout=...)``, `SaveDicomSegd` and `ResultRecords`. Names are those of `result_names`.

    Args:
        output_dir: folder for the files.
        postfix: of their names; "" for none.
        endings: of the files.
        series_part: the acquisition that is taken of each series.
        dicom_seg: a DICOM SEG is written too.
        overwrite: whether results of other scans, and edited ones, may be replaced.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        postfix: str = "seg",
        endings: Sequence[str] = (".nii.gz",),
        series_part: str | None = None,
        dicom_seg: bool = False,
        overwrite: bool | str = False,
    ) -> None:
        self.output_dir, self.postfix, self.series_part = Path(output_dir), postfix, series_part
        self.endings, self.overwrite = [*endings, *([".dcm"] * bool(dicom_seg))], is_switched_on("overwrite", overwrite)
        self._names: dict[str, str] = {}
        self._identities: dict[str, dict[str, str | None]] = {}

    def path(self, scan: str | os.PathLike, ending: str) -> Path:
        """Of the scan's file with that ending, such as ``".json"``."""
        name = self._names.get(_key(scan)) or result_name(scan, series_part=self.series_part)
        return self.output_dir / f"{name}{'_' * bool(self.postfix)}{self.postfix}{ending}"

    def files(self, scan: str | os.PathLike) -> list[Path]:
        """What is written for the scan, without the record."""
        return [self.path(scan, ending) for ending in self.endings]

    def start(self, scans: Sequence[str]) -> None:
        """Take the scans of a run, which get a name each, before the first of them is loaded.

        Args:
            scans: their paths.

        Raises:
            UserError: the run would replace what is not its own, see :func:`check_replaceable`; not with ``overwrite``.
        """
        self._names = {_key(scan): name for scan, name in result_names(scans, series_part=self.series_part).items()}
        again = 0
        for scan in scans:
            record, files = self.path(scan, ".json"), self.files(scan)
            if not self.overwrite:
                check_replaceable(record, files, scan, series_part=self.series_part)
            again += record.is_file()
        if again:
            echo(f"{again} of {len(scans)} scans have a result in {self.output_dir}, which is replaced")

    def filename(self, subject: Any = "subject", idx: Any = None, **kwargs: Any) -> Path:
        """Of the label map of a scan, whose record is begun: an interrupted run is not a stranger to the next one.

        Args:
            subject: path of the scan.
            idx: not used: a scan has one result.
            kwargs: not used.
        """
        self._record(subject, {}, written=False)
        return self.path(subject, self.endings[0])

    def record(self, scan: str | os.PathLike, about: Mapping[str, Any]) -> None:
        """Note what was written for a scan.

        Args:
            scan: its path.
            about: what the record is to say of the run.
        """
        self._record(scan, about, written=True)

    def _record(self, scan: str | os.PathLike, about: Mapping[str, Any], *, written: bool) -> None:
        key = _key(scan)
        if key not in self._identities:
            self._identities[key] = scan_identity(scan, series_part=self.series_part)
        write_record(self.path(scan, ".json"), self._identities[key], self.files(scan), more=about, hashed=written)


class ResultRecords:
    """Handler of an evaluator: completes the record of each scan whose result was written.

    Args:
        results: names the files.
        key: of the prediction in the evaluator's output.
        about: what the records are to say of the run, such as ``checkpoint``.
    """

    def __init__(self, results: ResultFiles, *, key: str = "pred", about: Mapping[str, Any] | None = None) -> None:
        self.results, self.key = results, key
        self.about = {name: None if value is None else str(value) for name, value in (about or {}).items()}

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator whose post-processing saves."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for output in state_of(engine).output:
            self.results.record(output[self.key].meta[ImageMetaKey.FILENAME_OR_OBJ], self.about)


def _key(scan: str | os.PathLike) -> str:
    return os.path.abspath(Path(scan).expanduser())
