"""What mkdocs adds to the folder docs/: the READMEs of the repository and of the bundles, the API from the docstrings.

One text has one place. A page of docs/ pulls in another file by a line ``{{ README.md }}``. Links to files of the
repository that are not pages become their names.
"""

from __future__ import annotations

import ast
import fnmatch
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent
LAYERS = ("losses", "networks", "transforms", "data", "engines", "report", "study", "serving")
_INCLUDE = re.compile(r"^\{\{ (?P<file>[^}]+?) \}\}$", re.M)
_LINK = re.compile(r"\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.M | re.S)
# the code in a block scrolls, not the block
_BLOCK = re.compile(r"<pre\b[^>]*>(<span></span>)?<code(?! tabindex)")
_ROLE = re.compile(r":(?:func|class|data|meth|mod|attr):(?=<code>|`)")


def on_files(files: Files, config: Any) -> Files:
    """The pages that are made."""
    for readme in sorted(ROOT.glob("bundles/*/docs/README.md")):
        name = readme.parent.parent.name
        files.append(File.generated(config, f"bundles/{name}.md", content=readme.read_text(encoding="utf-8")))
    for layer in LAYERS:
        files.append(File.generated(config, f"api/{layer}.md", content=api_page(layer)))
    return files


def on_nav(nav: Navigation, config: Any, **_: Any) -> Navigation:
    """The menu in the order of use: the parts that mkdocs.yml names; a page in none of them is in the last."""
    rest = {page.file.src_uri.removesuffix(".md"): page for page in nav.pages}
    parts: dict[str, list[Page]] = {}
    for title, patterns in config.extra["menu"].items():
        names = [name for pattern in patterns for name in fnmatch.filter(rest, pattern)]
        parts[title] = [rest.pop(name) for name in names]
    parts[title] += rest.values()
    nav.items, nav.pages = [], []
    for title, pages in parts.items():
        # a part of one page is the page
        section = Section(title, pages) if len(pages) > 1 else None
        if section is None:
            pages[0].title = title
        nav.items.append(section or pages[0])
        for page in pages:
            page.parent = section
        nav.pages += pages
    for before, after in zip([None, *nav.pages], [*nav.pages, None]):
        if before is not None:
            before.next_page = after
        if after is not None:
            after.previous_page = before
    return nav


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Included files and links."""
    origin = source_of(page.file.src_uri)
    markdown = _INCLUDE.sub(lambda found: included(found["file"], page.file.src_uri), markdown)
    return outside_fences(markdown, lambda text: relinked(text, origin, page.file.src_uri, files))


def on_page_content(html: str, **_: Any) -> str:
    """Sphinx's roles in docstrings mean nothing here; a block of code that scrolls can be reached by keyboard."""
    return _BLOCK.sub(r'\g<0> tabindex="0"', _ROLE.sub("", html))


def api_page(layer: str) -> str:
    """The public names of a subpackage, in the order its ``__init__`` gives them; read, not imported."""
    source = ROOT / "monai_cl" / layer / "__init__.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    exports = next(
        ast.literal_eval(node.args[1])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy_exports"
    )
    names = [f"monai_cl.{layer}.{home(layer, module, name)}.{name}" for module in exports for name in exports[module]]
    directives = "\n\n".join(f"::: {name}" for name in names)
    return f"# monai_cl.{layer}\n\n{ast.get_docstring(tree)}\n\n{directives}\n"


def home(layer: str, module: str, name: str) -> str:
    """The module that defines a name: the one that exports it, or another one of the layer that it takes it from."""
    folder = ROOT / "monai_cl" / layer
    defines = re.compile(rf"^(class|def) {name}\b|^{name}\b.*=", re.M)
    files = {".".join(path.relative_to(folder).with_suffix("").parts): path for path in sorted(folder.rglob("*.py"))}
    candidates = [module, *files]
    return next((key for key in candidates if defines.search(files[key].read_text(encoding="utf-8"))), module)


def source_of(uri: str) -> PurePosixPath:
    """Where in the repository a page's text lies."""
    bundle = re.fullmatch(r"bundles/(\w+)\.md", uri)
    return PurePosixPath(f"bundles/{bundle[1]}/docs/README.md" if bundle else f"docs/{uri}")


def page_of(path: str) -> str | None:
    """The page that shows a file of the repository."""
    bundle = re.fullmatch(r"bundles/(\w+)/(docs/README\.md)?", path.rstrip("/") + ("/" if "." not in path else ""))
    if bundle:
        return f"bundles/{bundle[1]}.md"
    if path == "data_lists/README.md":
        return "data_lists.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else {"README.md": "index.md"}.get(path)


def included(file: str, uri: str) -> str:
    """A file without its title, for the page has one, and with its links as seen from the page."""
    text = re.sub(r"\A# [^\n]*\n", "", (ROOT / file).read_text(encoding="utf-8"))
    here = PurePosixPath(os.path.relpath(PurePosixPath(file).parent, source_of(uri).parent))

    def moved(found: re.Match) -> str:
        target = found["target"]
        return found[0] if re.match(r"\w+:|#", target) else f"[{found['text']}]({here / target})"

    return outside_fences(text, lambda part: _LINK.sub(moved, part))


def relinked(text: str, origin: PurePosixPath, uri: str, files: Files) -> str:
    """Links between files of the repository as links between pages; pictures likewise."""

    def link(found: re.Match) -> str:
        target, _, anchor = found["target"].partition("#")
        if re.match(r"\w+:", target) or not target:
            return found[0]
        path = os.path.normpath(origin.parent / target)
        page = page_of(PurePosixPath(path).as_posix())
        if page is None or files.get_file_from_path(page) is None:
            return found["text"] if (ROOT / path).exists() else found[0]
        where = PurePosixPath(os.path.relpath(page, PurePosixPath(uri).parent)).as_posix()
        return f"[{found['text']}]({where}{'#' + anchor if anchor else ''})"

    return _LINK.sub(link, text)


def outside_fences(text: str, change: Any) -> str:
    """Apply ``change`` to what is not a fenced block."""
    parts, at = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(text[at:])])
