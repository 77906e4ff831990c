"""The commands and the Python that README, docs and bundles show, taken from their Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "data_lists/README.md", "docs/**/*.md", "bundles/*/docs/README.md")
SHELLS = {"bash", "sh", "shell", "console"}
# other languages, and output that is shown: nothing to type
SILENT = {"json", "yaml", "toml", "ini", "text", "output", "html", "diff", "markdown", "csv"}
_FENCE = re.compile(
    r"^(?P<mark>```+|~~~+)[ \t]*(?P<language>[\w+-]*)[^\n]*\n(?P<text>.*?)^(?P=mark)[ \t]*$", re.M | re.S
)
_INDENTED = re.compile(r"^(?P<text>(?:    [^\n]*(?:\n|\Z))+)", re.M)
PYTHON = "python - <<'EOF'"  # how an example in Python is typed in
HERE = "\0"  # at the end of a step whose file is being typed in
# what a person types begins with one of these
PROGRAMS = (
    r"(?:[A-Z_]+=\S+ )*(?:python3?|make|torchrun|pip|sbatch|tensorboard|mlflow|docker|\.venv/bin/\w+|eval|source)\b"
)
_INLINE = re.compile(rf"(?<!`)`(?P<text>(?:{PROGRAMS} |… )[^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Step:
    """One command as printed, continuation lines joined.

    Attributes:
        line: in the file, from 1.
    """

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Block:
    """Commands that are shown together; ``inline``: one within a sentence."""

    file: str
    line: int
    steps: tuple[Step, ...]
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def pages() -> list[Path]:
    """Every page a user reads."""
    return sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})


def blocks_of(text: str, file: str) -> Iterator[Block]:
    """Fenced and indented blocks of commands or Python, and commands within sentences, each a block of its own.

    Raises:
        ValueError: a fence whose language is neither a shell's nor known to be none.
    """
    rest = text
    for fence in _FENCE.finditer(text):
        rest = rest.replace(fence[0], re.sub(r"[^\n]", "", fence[0]), 1)
        line, language = text.count("\n", 0, fence.start("text")) + 1, fence["language"].lower()
        if language in SHELLS or (not language and re.match(PROGRAMS, fence["text"])):
            yield from _block(file, line, fence["text"])
        elif language == "python":
            yield Block(file, line, (Step(file, line, f"{PYTHON}\n{fence['text']}EOF"),))
        elif language and language not in SILENT:
            raise ValueError(f"{file}:{line - 1}: the language {language!r}; add it to tests/docs/commands.py")
    for found in _INDENTED.finditer(rest):
        # the content of a list of folders or of a continued list item is not a command
        inner = re.sub(rf"^    (?!{PROGRAMS}).*$", "", found["text"], flags=re.M)
        yield from _block(file, rest.count("\n", 0, found.start()) + 1, re.sub(r"^    ", "", inner, flags=re.M))
    for found in _INLINE.finditer(rest):
        command = re.sub(r"^… ", "python -m monai.bundle run --config_file bundles/", found["text"])
        line = rest.count("\n", 0, found.start()) + 1
        yield Block(file, line, (Step(file, line, command),), inline=True)


def all_blocks() -> list[Block]:
    """The blocks of all pages, in order."""
    found = [
        block
        for path in pages()
        for block in blocks_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]
    return sorted(found, key=lambda block: (block.file, block.line))


def _block(file: str, line: int, text: str) -> Iterator[Block]:
    steps, waiting, start = [], "", 0
    for number, raw in enumerate(text.splitlines(), start=line):
        if waiting.endswith(HERE):  # a file that is typed in, as it stands
            waiting = f"{waiting.removesuffix(HERE)}\n{raw}{HERE}"
            if raw == "EOF":
                steps.append(Step(file, start, waiting.removesuffix(HERE)))
                waiting = ""
            continue
        words = re.sub(r"^\$ ", "", raw)
        if not waiting:
            start = number
            if not words.strip() or words.lstrip().startswith("#"):
                continue
        joined = waiting + words.strip()
        if joined.endswith("<<'EOF'"):
            waiting = joined + HERE
            continue
        if joined.endswith("\\"):
            waiting = joined[:-1]
            continue
        steps.append(Step(file, start, re.sub(r"\s{2,}# .*$|\s+#\s.*$", "", joined)))
        waiting = ""
    if steps:
        yield Block(file, line, tuple(steps))
