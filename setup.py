"""Puts bundles, data lists, studies and the tested versions into the wheel, and README into its description.

All else is in setup.cfg.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ("bundles", "data_lists", "studies", "constraints.txt")
RESULTS = {"models", "eval", "store"}  # what runs leave in a checkout's bundle


class BuildWithBundles(build_py):
    """`build_py` that copies the folders to where `monai_cl.shipped` looks for them in an installed package."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # an editable install finds them in the checkout
            for source, target in self._shipped_files():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        shipped = [] if self.editable_mode else [target for _, target in self._shipped_files()]
        return super().get_outputs(include_bytecode) + shipped

    def get_source_files(self) -> list[str]:
        return super().get_source_files() + [source for source, _ in self._shipped_files()]

    def _shipped_files(self) -> list[tuple[str, str]]:
        """(source, target), both as setuptools wants them: the source relative to this file's folder."""
        found = []
        for folder in SHIPPED:
            for file in [ROOT / folder, *sorted((ROOT / folder).rglob("*"))]:
                inner = file.relative_to(ROOT)
                hidden = any(part.startswith((".", "__pycache__")) for part in inner.parts)
                if file.is_file() and not hidden and inner.parts[2:3] not in [(name,) for name in RESULTS]:
                    found.append((inner.as_posix(), str(Path(self.build_lib) / "monai_cl" / inner)))
        return found


def long_description() -> str:
    """README for a package index: pictures, and links into the checkout, would lead nowhere there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n+(\*.*\*\n+)?", "", text)
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    cmdclass={"build_py": BuildWithBundles},
    long_description=long_description(),
    long_description_content_type="text/markdown",
)
