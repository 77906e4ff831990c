"""MONAI Label's web application, closed to web pages from elsewhere.

MONAI Label lets every page that a browser on this machine shows read the scans (CORS for all origins), and its setting
for fewer origins stops the server at its start. Viewers that are no web page, and its own pages, need none of it.
"""

from __future__ import annotations

from fastapi.middleware.cors import CORSMiddleware
from monailabel.app import app

app.user_middleware[:] = [entry for entry in app.user_middleware if entry.cls is not CORSMiddleware]
