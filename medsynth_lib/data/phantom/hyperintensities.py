"""White-matter hyperintensities: bright in FLAIR and T2 as a lesion is, common with age, and not labelled.

Caps lie around the ventricles, small foci in deep white matter (Fazekas et al. 1987 grade these two). How many a
subject has varies from nearly none to many; the law is a choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from .anatomy import COARSE, RNG, smooth_noise

VENTRICLE_DEPTH = 18.0  # mm below the brain's surface from which on CSF is taken for a ventricle
CAP = 2.0  # mm, thickness of the caps at a load of 1
CAP_LIMIT = 8.0  # mm
FOCI = 4.0  # mean number of foci at a load of 1
FOCUS_RADIUS = (1.5, 4.0)  # mm, uniform between
FOCUS_DEPTH = 9.0  # mm, least depth of a focus's centre below the brain's surface


@dataclass(frozen=True)
class Hyperintensities:
    """Caps: a signed field in mm [X, Y, Z] on the coarse grid, positive inside. Foci: centres mm [K, 3], radii [K]."""

    caps: np.ndarray
    centres: np.ndarray
    radii: np.ndarray
    load: float

    def share(self, caps: np.ndarray, where: np.ndarray, width: float) -> np.ndarray:
        """Share of each pixel that is hyperintense, as far as it is white matter: [N, H, W].

        caps    the field of the caps at the pixels, mm [N, H, W]
        where   their positions, mm [3, N, H, W]
        width   mm over which a border is blurred
        """
        inside = np.clip(caps / width + 0.5, 0, 1)
        for centre, radius in zip(self.centres, self.radii, strict=True):
            near = np.abs(where[2, :, 0, 0] - centre[2]) < radius + width
            r = np.sqrt(((where[:, near] - centre.reshape(3, 1, 1, 1)) ** 2).sum(0))
            inside[near] = np.maximum(inside[near], np.clip((radius - r) / width + 0.5, 0, 1))
        return inside


def hyperintensities(
    rng: RNG, law: tuple[float, float], grid: np.ndarray, tissue: np.ndarray, depth: np.ndarray
) -> Hyperintensities:
    """Caps and foci of one subject, whose load is log-normal with the median and deviation of the logarithm in `law`.

    grid mm [3, X, Y, Z], tissue fractions [3, X, Y, Z], depth below the brain's surface in mm [X, Y, Z].
    """
    load = float(law[0] * np.exp(law[1] * rng.standard_normal()))
    ventricle = (tissue[2] - tissue[0] - tissue[1] > 0.5) & (depth > VENTRICLE_DEPTH)
    away = distance_transform_edt(~ventricle, sampling=COARSE)
    thickness = min(CAP * np.sqrt(load), CAP_LIMIT) * (1 + 0.8 * smooth_noise(rng, depth.shape, 9.0 / COARSE))
    points = np.argwhere((tissue[1] > 0.7) & (depth > FOCUS_DEPTH))
    count = int(rng.poisson(FOCI * load))
    centres = grid[(slice(None), *points[rng.integers(len(points), size=count)].T)].T
    centres = centres + rng.uniform(-COARSE / 2, COARSE / 2, centres.shape)
    # Half a voxel is taken off: the distance is that to the middle of the nearest voxel of CSF.
    return Hyperintensities(thickness - away + COARSE / 2, centres, rng.uniform(*FOCUS_RADIUS, count), load)
