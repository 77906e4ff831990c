"""The server's own page: a text that loads nothing, in place of MONAI Label's, whose scripts come from the network."""

from __future__ import annotations

import html

from monai_cl.serving.guard.origins import ServerAddress

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>monai_cl label server</title></head><body>
<h1>Label server of monai_cl</h1>
<p>In 3D Slicer, module MONAILabel, write as MONAI Label server: <b>http://{address}</b></p>
<ul>
<li><a href="/info/">models, trainers and strategies</a></li>
<li><a href="/datastore/?output=all">scans and labels</a></li>
<li><a href="/train/?all=true">trainings</a></li>
<li><a href="/logs/">log</a></li>
<li><a href="/openapi.json">all routes of MONAI Label, as OpenAPI</a></li>
</ul>
</body></html>
"""


def front_page(address: ServerAddress) -> str:
    """HTML of the page."""
    return _PAGE.format(address=html.escape(str(address)))
