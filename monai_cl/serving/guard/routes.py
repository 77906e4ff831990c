"""The routes of MONAI Label that are served, and what their parameters name; all others are switched off.

Off are its web pages that load from the network (``/docs``, ``/ohif``, ``/static``), the proxy to a DICOMweb server
that they use, pathology, and ``/reload``.
"""

from __future__ import annotations

from dataclasses import dataclass

SCANS = (".nii.gz", ".nii", ".nrrd")


@dataclass(frozen=True)
class Route:
    """One route.

    Attributes:
        method, path: as MONAI Label has them, parameters in braces. ``{model}`` is one that predicts, ``{trainer}`` one
            that is trained, ``{strategy}``, ``{method}`` and ``{session_id}`` are those of `Names`.
        image, label: the query parameter that names a scan, or a label, that has to be there.
        body: ``form``, ``json``, or nothing.
        options: what the client may set in the body, see `task_options`; empty: nothing is left out of it.
        endings: of uploaded files; empty: any.
    """

    method: str
    path: str
    image: str = ""
    label: str = ""
    body: str = ""
    options: str = ""
    endings: tuple[str, ...] = ()


ROUTES = (
    Route("GET", "/info/"),
    Route("GET", "/openapi.json"),
    Route("GET", "/favicon.ico"),
    Route("GET", "/logs/"),
    Route("GET", "/logs/gpu"),
    Route("GET", "/model/{model}"),
    Route("GET", "/model/info/{model}"),
    Route("PUT", "/model/{model}", body="form", endings=(".pt",)),
    Route("DELETE", "/model/{model}"),
    Route("POST", "/infer/{model}", image="image", body="form", options="infer", endings=SCANS),
    Route("GET", "/batch/infer"),
    Route("DELETE", "/batch/infer"),
    Route("POST", "/batch/infer/{model}", body="json", options="batch"),
    Route("GET", "/train/"),
    Route("DELETE", "/train/"),
    Route("POST", "/train/", body="json", options="train"),
    Route("POST", "/train/{trainer}", body="json", options="train"),
    Route("GET", "/scoring/"),
    Route("DELETE", "/scoring/"),
    Route("POST", "/scoring/", body="json", options="scoring"),
    Route("POST", "/scoring/{method}", body="json", options="scoring"),
    Route("POST", "/activelearning/{strategy}", body="json", options="sample"),
    Route("GET", "/datastore/"),
    Route("PUT", "/datastore/", body="form", endings=SCANS),
    Route("DELETE", "/datastore/", image="id"),
    Route("GET", "/datastore/image", image="image"),
    Route("HEAD", "/datastore/image", image="image"),
    Route("PUT", "/datastore/image", body="form", endings=SCANS),
    Route("DELETE", "/datastore/image", image="id"),
    Route("GET", "/datastore/image/info", image="image"),
    Route("PUT", "/datastore/image/info", image="image", body="form"),
    Route("GET", "/datastore/label", label="label"),
    Route("HEAD", "/datastore/label", label="image"),
    Route("PUT", "/datastore/label", image="image", body="form", endings=SCANS),
    Route("DELETE", "/datastore/label", label="id"),
    Route("GET", "/datastore/label/info", label="label"),
    Route("PUT", "/datastore/label/info", label="label", body="form"),
    Route("PUT", "/datastore/updatelabelinfo", label="label", body="form"),
    Route("GET", "/datastore/dataset"),
    Route("GET", "/session/{session_id}"),
    Route("DELETE", "/session/{session_id}"),
    Route("PUT", "/session/", body="form"),
)


def find_route(method: str, segments: list[str]) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the values in its path; None where it is not served.

    Args:
        segments: of the path, decoded, without the slashes at its ends.
    """
    for route in ROUTES:
        pattern = route.path.strip("/").split("/")
        if route.method != method or len(pattern) != len(segments):
            continue
        if all(part.startswith("{") or part == segment for part, segment in zip(pattern, segments)):
            return route, {p.strip("{}"): s for p, s in zip(pattern, segments) if p.startswith("{")}
    return None
