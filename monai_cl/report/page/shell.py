"""What is around the content of every page: head, title, footer; nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from monai_cl._version import __version__
from monai_cl.report.page import STYLE


def page_html(body: str, *, title: str, sub: str, banners: Sequence[str] = ()) -> str:
    """A whole HTML document without script.

    Args:
        body: HTML of the content.
        title: plain text.
        sub: the line under it, plain text; the version of this package is added.
        banners: sentences above the content, plain text.
    """
    banner = "".join(f'<p class="banner">{escape(line)}</p>\n' for line in banners)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{escape(title)}</h1>
<p class="sub">{escape(sub)} · monai_cl {escape(__version__)}</p>
{banner}</header>
<main id="content">
{body}</main>
<footer><p>Research software, not a medical device.</p></footer>
</body>
</html>
"""


def section_html(anchor: str, name: str, text: str) -> str:
    """A section that is open, or nothing where it has no content.

    Args:
        anchor: its id.
        name: heading, plain text.
        text: HTML.
    """
    if not text:
        return ""
    heading = f'<h2 id="{anchor}-h">{escape(name)}</h2>'
    return f'<section id="{anchor}" aria-labelledby="{anchor}-h">\n{heading}\n{text}</section>\n'
