"""The folder of scans as MONAI Label's data store, from which no link and no name leads out."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from monai_cl.data.io.result_records import own_results
from monai_cl.errors import UserError, escape_control_characters
from monai_cl.serving.guard.plain_names import name_fault
from monai_cl.serving.guard.routes import SCANS

logger = logging.getLogger(__name__)
# the thread that watches the folder reads the store as well; RLock, for what reads it may read it again
_READING = threading.RLock()


class StudiesDatastore(LocalDatastore):
    """Scans, and labels under ``labels/TAG``; a file that a link has in another folder is not there.

    What its ``datastore_v2.json`` says of other files, as a server of an earlier version may have left it, is dropped.

    Args:
        folder: the studies.
        auto_reload, read_only: see MONAI Label.

    Raises:
        UserError: ``labels`` is a link that leads out of the folder.
    """

    def __init__(self, folder: str, *, auto_reload: bool = False, read_only: bool = False) -> None:
        self._root = os.path.realpath(folder)
        if not self.holds(os.path.join(folder, "labels")):
            raise UserError(
                f"{folder}/labels", expected="a folder in the studies", found="a link out of them", remedy="remove it"
            )
        extensions = [f"*{ending}" for ending in SCANS]
        super().__init__(folder, extensions=extensions, auto_reload=auto_reload, read_only=read_only)

    def holds(self, path: str) -> bool:
        """Whether a path, with all its links followed, lies in the studies."""
        real = os.path.realpath(path)
        return real == self._root or real.startswith(self._root + os.sep)

    def get_image_uri(self, image_id: str) -> str:
        """Path of a scan; empty where there is none."""
        return self._own(super().get_image_uri(image_id))

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Path of a label; empty where there is none."""
        return self._own(super().get_label_uri(label_id, label_tag))

    def _own(self, path: str) -> str:
        return path if path and self.holds(path) and os.path.isfile(path) else ""

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Paths of the scans that have a final label, and of these."""
        tag = DefaultLabelTag.FINAL
        pairs = [
            {"image": self.get_image_uri(name), "label": self.get_label_uri(name, tag)}
            for name in self.get_labeled_images()
        ]
        return [pair for pair in pairs if all(pair.values())]

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Path of a ZIP file of scans and labels."""
        if not self.datalist():
            raise LabelNotFoundException("there is no label yet, so nothing to download")
        return super().get_dataset_archive(limit_cases)

    def add_image(self, image_id: str, image_filename: str, image_info: Mapping[str, Any]) -> str:
        """Copy a scan into the studies."""
        name = self._filename(image_id, self._to_id(os.path.basename(image_filename))[1])
        self._check_target(image_id, os.path.join(self._datastore.image_path(), name))
        return super().add_image(image_id, image_filename, image_info)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Copy a label into the studies."""
        name = self._filename(image_id, self._to_id(os.path.basename(label_filename))[1])
        self._check_target(label_tag, os.path.join(self._datastore.label_path(label_tag), name))
        return super().save_label(image_id, label_filename, label_tag, label_info)

    def _check_target(self, name: str, path: str) -> None:
        if name_fault(name) or not self.holds(path):
            raise ImageNotFoundException(f"{name}: does not lie in the studies")

    def update_image_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        """Note something of a scan, beside what another process has noted meanwhile."""
        self._init_from_datastore_file()
        super().update_image_info(image_id, info)

    def _list_files(self, path: str, patterns: Sequence[str]) -> dict[str, str]:
        files = super()._list_files(path, patterns) if self.holds(path) else {}
        files = {key: file for key, file in sorted(files.items()) if self._own(os.path.join(path, file))}
        return self._scans(path, files) if path == self._datastore.image_path() else files

    def _scans(self, folder: str, files: Mapping[str, str]) -> dict[str, str]:
        """Without results of an inference; one scan of a name, for ``ct.nrrd`` would share the labels of ``ct.nii.gz``.

        Args:
            folder: of the studies.
            files: name -> name, sorted.
        """
        kept: dict[str, str] = {}  # by name
        own = own_results(folder)
        for file in files.values():
            name = self._to_id(file)[0]
            if file in own:
                logger.info("%s: passed over, a result of an inference", file)
            elif name in kept:
                logger.warning("%s: left out, for its name is that of %s; rename one of them", file, kept[name])
            else:
                kept[name] = file
        return {file: file for file in kept.values()}

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        with _READING:
            super()._init_from_datastore_file(throw_exception)
            self._datastore.images_dir, self._datastore.labels_dir = ".", "labels"
            objects = self._datastore.objects
            for name, entry in list(objects.items()):
                labels = entry.labels
                for tag in [tag for tag in labels if name_fault(tag) or not self.get_label_uri(name, tag)]:
                    del labels[tag]
                if name_fault(name) or not self.get_image_uri(name):
                    logger.warning("%s: not a scan in the studies, left out", escape_control_characters(name))
                    objects.pop(name, None)
