"""Lesions of the phantom: where they start, how they push the tissue away, and how they grow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from skimage.graph import MCP_Geometric

from .anatomy import COARSE, LEVELS, RNG, fractions, sample, smooth_noise, template
from .variation import NO_LESION

# Radius of the tumour core: log-normal with this median (mm) and deviation of the logarithm
CORE_RADIUS = (15.0, 0.30)
RADIUS_LIMITS = (5.0, 26.0)  # mm, to which the radius is clipped
SECOND_FOCUS = 0.15  # share of subjects with a second focus of half the radius
OEDEMA = (17.0, 0.45)  # mm beyond the core: median and deviation of the logarithm
ABSENT = -1e3  # value of a signed field that is nowhere inside


@dataclass(frozen=True)
class Lesion:
    """Signed fields [X, Y, Z] in mm on the coarse grid, positive inside.

    `necrosis` is the part of the core without uptake: within the rim ("ring-enhancing"), the whole core
    ("non-enhancing") or nothing ("solid enhancing").
    """

    kind: str
    core: np.ndarray
    necrosis: np.ndarray
    oedema: np.ndarray
    centre: np.ndarray  # mm, of the first focus
    radius: float  # mm, of the first focus's core
    foci: int


def seed_point(rng: RNG, grid: np.ndarray, tissue: np.ndarray, depth: np.ndarray, radius: float) -> np.ndarray:
    """A random white-matter point (mm [3]) within LEVELS, at least 6 mm + half a core radius below the brain surface.

    grid mm [3, X, Y, Z], tissue fractions [3, X, Y, Z], depth below the surface and core radius in mm.
    """
    inside = (tissue[1] > 0.6) & (depth > 0.5 * radius + 6) & (grid[2] > LEVELS[0] + 6) & (grid[2] < LEVELS[1] - 6)
    points = np.argwhere(inside)
    return grid[(slice(None), *points[rng.integers(len(points))])]


def mass_effect(
    grid: np.ndarray, source: np.ndarray, centre: np.ndarray, radius: float, depth: np.ndarray
) -> np.ndarray:
    """`source` [3, X, Y, Z] (mm) after tissue was displaced outwards by a core of `radius` mm at `centre` (mm [3]).

    The displacement is delta(r) = 0.35 R exp(-(r - R)+ / 1.5 R) at distance r from the centre, at most 0.6 r; it goes
    to 0 linearly over the last 15 mm below the brain surface. grid mm [3, X, Y, Z]; depth below that surface in mm.
    """
    away = grid - centre.reshape(3, 1, 1, 1)
    r = np.sqrt((away**2).sum(0)) + 1e-3
    delta = 0.35 * radius * np.exp(-np.maximum(r - radius, 0) / (1.5 * radius)) * np.clip(depth / 15, 0, 1)
    delta = np.minimum(delta, 0.6 * r)
    # Maps are composed, not added: the composition of two maps without folds has none.
    return sample(source, (grid - away / r * delta - grid[:, :1, :1, :1]) / COARSE, outside="border")


def arrival(cost: np.ndarray, start: tuple[int, ...], limit: float) -> np.ndarray:
    """Length of the cheapest path from `start` at `cost` per mm [X, Y, Z], at most `limit`: float32 [X, Y, Z].

    For speed only a box around `start` is looked at; it grows until the front reaches none of its faces within `limit`.
    """
    reach = int(limit / COARSE)
    while True:
        box = tuple(slice(max(0, s - reach), s + reach + 1) for s in start)
        inner = tuple(s - b.start for s, b in zip(start, box, strict=True))
        found = MCP_Geometric(cost[box].astype(float), sampling=(COARSE,) * 3).find_costs([inner])[0]
        if not cut_by_box(found < limit, box, cost.shape):
            break
        reach += reach // 2 + 1
    whole = np.full(cost.shape, limit, np.float32)
    whole[box] = np.minimum(found, limit)
    return whole


def cut_by_box(inside: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    """Whether `inside` touches a face of the box that is not also a face of the grid of this shape."""
    for axis, (span, size) in enumerate(zip(box, shape, strict=True)):
        low, high = inside.take(0, axis), inside.take(-1, axis)
        if (span.start > 0 and low.any()) or (span.stop < size and high.any()):
            return True
    return False


def grow(rng: RNG, kind: str, grid: np.ndarray, tissue: np.ndarray, centre: np.ndarray, radius: float) -> Lesion:
    """A lesion of one kind around `centre` (mm [3]) with a core of `radius` mm, and oedema around it.

    Oedema is where a front that starts at the centre arrives early. Arrival is the length of the shortest path
    (MCP_Geometric) at a cost of 1 per mm in white matter, 3 in grey matter and 15 in CSF.
    grid mm [3, X, Y, Z], tissue fractions [3, X, Y, Z].
    """
    shape = grid.shape[1:]
    start = tuple(np.round((centre - grid[:, 0, 0, 0]) / COARSE).astype(int))
    r = np.sqrt(((grid - centre.reshape(3, 1, 1, 1)) ** 2).sum(0))
    ragged = r * (1 + 0.16 * smooth_noise(rng, shape, 5.0 / COARSE) + 0.08 * smooth_noise(rng, shape, 3.5 / COARSE))
    core = without_islands(radius - ragged, start)
    rim = radius * np.exp(rng.normal(-1.35, 0.35)) * np.clip(1 + 0.45 * smooth_noise(rng, shape, 7 / COARSE), 0.2, 2.2)
    necrosis = {"ring-enhancing": core - rim, "non-enhancing": core}.get(kind, np.full_like(core, ABSENT))
    csf = np.clip(tissue[2] - tissue[0] - tissue[1], 0, 1)
    cost = np.clip(tissue[1], 0, 1) + 3 * np.clip(tissue[0], 0, 1) + 15 * csf + 100 * (tissue[2] < 0.3)
    cost *= np.exp(0.35 * smooth_noise(rng, shape, 6 / COARSE))
    extent = radius + np.exp(rng.normal(np.log(OEDEMA[0]), OEDEMA[1]))
    # Beyond the extent by some voxels, so that smoothing sees how the field goes on.
    front = gaussian_filter(arrival(cost, start, extent + 4 * COARSE), 0.6)
    return Lesion(kind, core, necrosis, np.maximum(extent - front, core), centre, radius, foci=1)


def without_islands(core: np.ndarray, start: tuple[int, ...]) -> np.ndarray:
    """The core's signed field without the components that do not contain the voxel `start`."""
    pieces, _ = label(core > 0)
    return np.where((core > 0) & (pieces != pieces[start]), -COARSE, core)


def pick_kind(rng: RNG, kinds: dict[str, float]) -> str:
    """A kind of lesion by its share, or NO_LESION with what is left of 1."""
    left = rng.random()
    for kind, share in kinds.items():
        left -= share
        if left < 0:
            return kind
    return NO_LESION


def lesions(
    rng: RNG, kinds: dict[str, float], grid: np.ndarray, source: np.ndarray
) -> tuple[Lesion, np.ndarray, np.ndarray, np.ndarray]:
    """A lesion, with a second focus in SECOND_FOCUS of the subjects, and what it leaves of the brain.

    Returns the lesion, the tissue fractions [3, X, Y, Z] and the source map (mm [3, X, Y, Z]) after its mass effect,
    and the depth below the brain surface (mm [X, Y, Z]). A subject without lesion gets one that is nowhere inside; its
    centre and radius say which slices to take, so that slice positions do not give the lesion away.
    """
    tissue = fractions(template(COARSE), source)
    kind = pick_kind(rng, kinds)
    radius = float(np.clip(np.exp(rng.normal(np.log(CORE_RADIUS[0]), CORE_RADIUS[1])), *RADIUS_LIMITS))
    radii = (radius, 0.5 * radius) if rng.random() < SECOND_FOCUS else (radius,)
    depth = distance_transform_edt(tissue[2] > 0.5, sampling=COARSE)
    centres = [seed_point(rng, grid, tissue, depth, size) for size in radii]
    if kind == NO_LESION:
        nowhere = np.full(grid.shape[1:], ABSENT, np.float32)
        return Lesion(kind, nowhere, nowhere, nowhere, centres[0], radius, foci=0), tissue, source, depth
    for centre, size in zip(centres, radii, strict=True):
        source = mass_effect(grid, source, centre, size, depth)
    tissue = fractions(template(COARSE), source)
    foci = [grow(rng, kind, grid, tissue, centre, size) for centre, size in zip(centres, radii, strict=True)]
    joined = [np.maximum.reduce([getattr(focus, k) for focus in foci]) for k in ("core", "necrosis", "oedema")]
    return Lesion(kind, *joined, centres[0], radius, len(foci)), tissue, source, depth
