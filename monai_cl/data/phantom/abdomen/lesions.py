"""Lesions for the data sets that annotate tumours."""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.abdomen.structure import Structure
from monai_cl.data.phantom.draw import Draw
from monai_cl.data.phantom.shapes import Ellipsoid, Shape

# organ -> lesion id, host ids, most lesions, median radius in mm
_WHERE = {"liver": (8, (4,), 4, 13.0), "kidney": (9, (2, 3), 2, 15.0)}


def lesions(draw: Draw, hu: dict[str, float], structures: tuple[Structure, ...], where: str) -> tuple[Structure, ...]:
    """One to four (liver) or two (kidney) lumps inside their hosts, darker than them, from nearly alike to fluid."""
    rng = draw.rng
    label, hosts, most, median = _WHERE[where]
    brightest = hu["liver"] if where == "liver" else hu["medulla"]
    lesion_list = []
    for number in range(int(rng.integers(1, most + 1))):
        side = int(rng.choice(hosts))
        host = next(s for s in structures if s.label == side)
        ellipsoid = host.shape.parts[0]
        assert isinstance(ellipsoid, Ellipsoid)  # livers and kidneys begin with one
        direction = rng.normal(size=3)
        direction *= rng.uniform(0.35, 0.85) / np.linalg.norm(direction)
        centre = ellipsoid.centre + ellipsoid.axes.T @ (direction * ellipsoid.radii)
        size = float(np.exp(rng.normal(np.log(median), 0.45)))
        lump = Ellipsoid(centre, size * rng.uniform(0.75, 1.25, 3), draw.axes(0, 0, 0, sd=90))
        shape = Shape((lump,), within=(host.shape,), surface=draw.bumps(0.1 * size, (12, 40)))
        lesion_list.append(
            Structure(
                f"{where} tumour {number + 1}",
                shape,
                max(brightest - rng.uniform(15, 60), 5.0),
                label=label,
                texture=draw.texture(8, (6, 25)),
                region=host.region,
                gap=host.gap,
                overlay=host.label,
            )
        )
    return tuple(lesion_list)
