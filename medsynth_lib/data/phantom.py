"""The default source: a SIMULATED glioma MR phantom. No patient data, no download, any number of held-out subjects.

A real average anatomy (grey- and white-matter maps of the ICBM 152 2009a template, Fonov et al. 2011, as bundled with
nilearn) is deformed for every subject by a smooth random map; a lesion grows in white matter (necrotic core, enhancing
rim, oedema that follows white matter) and pushes the tissue around it (mass effect); the MR signal equations then
give T1, T1ce, T2 and FLAIR with partial volume, bias field and Rician noise. Labels follow BraTS.

Anatomy, growth and mass effect live on one coarse 3-D grid of 3 mm; the slices are sampled from it at full resolution.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from nilearn import datasets
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label, map_coordinates
from skimage.graph import MCP_Geometric

from .phantom_physics import CHANNELS, TISSUES, rician, signal, vary
from .slices import DataError, SliceSet

LABEL_NAMES = ("background", "necrotic core", "oedema", "enhancing tumour")
FIELD_OF_VIEW = 192.0  # mm, in plane
COARSE = 3.0  # mm, grid of deformation and growth
LEVELS = (-24.0, 57.0)  # mm above the anterior commissure: slices with both hemispheres and ventricles
CENTRE_Y = -18.0  # mm, middle of the brain from front to back in the template
# Amplitude and scale in mm of the two random deformation fields
DEFORMATIONS = ((4.0, 14.0), (1.2, 6.0))
# Radius of the tumour core: log-normal with this median (mm) and deviation of the logarithm
CORE_RADIUS = (15.0, 0.30)
RADIUS_LIMITS = (5.0, 26.0)  # mm, to which the radius is clipped
FOLD_LIMIT = 0.15  # smallest Jacobian determinant that a random deformation may have
SECOND_FOCUS = 0.15  # share of subjects with a second focus of half the radius
GREY_LAG = 2.0  # mm by which oedema ends earlier in grey matter
VESSEL_DEPTH = 20.0  # mm below the brain's surface where sulcal vessels end (no vessels in the ventricles)
MARGIN = 5.0  # mm beyond either end of the lesion that the slices cover
NOISE = 0.02  # standard deviation, relative to the brighter signal of grey and white matter
RNG = np.random.Generator


@dataclass(frozen=True)
class Template:
    """Grey, white and brain maps on a regular grid: float32 [3, X, Y, Z] in 0-1, first voxel at `origin` mm."""

    maps: np.ndarray
    origin: np.ndarray
    step: float


@functools.cache
def template(step: float) -> Template:
    """The ICBM 152 maps, smoothed against aliasing and subsampled to about `step` mm; cached per process."""
    grey, white, brain = (
        load(resolution=1)
        for load in (
            datasets.load_mni152_gm_template,
            datasets.load_mni152_wm_template,
            datasets.load_mni152_brain_mask,
        )
    )
    maps = np.stack([np.asarray(image.dataobj, dtype=np.float32) for image in (grey, white, brain)])
    maps[:2] /= np.maximum(maps[0] + maps[1], 1.0)
    stride = max(1, int(step))
    maps = np.stack([gaussian_filter(m, 0.45 * (step - 1)) for m in maps]) if step > 1 else maps
    return Template(np.ascontiguousarray(maps[:, ::stride, ::stride, ::stride]), grey.affine[:3, 3], float(stride))


def smooth_noise(rng: RNG, shape: tuple[int, ...], scale: float | tuple[float, ...]) -> np.ndarray:
    """White noise of `shape` through a Gaussian filter of `scale` voxels, scaled to unit variance: float32."""
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), scale, mode="wrap")
    return field / max(float(field.std()), 1e-6)


def sample(maps: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Maps [K, X, Y, Z] interpolated trilinearly at voxel positions `at` [3, ...]: [K, ...]; 0 outside."""
    return np.stack([map_coordinates(m, at, order=1, mode="constant") for m in maps])


def coarse_grid() -> np.ndarray:
    """Positions in mm [3, X, Y, Z] of the coarse grid: x left to right, y back to front, z up."""
    half = FIELD_OF_VIEW / 2 - COARSE / 2
    x = np.arange(-half, half + 1e-3, COARSE, dtype=np.float32)
    z = np.arange(LEVELS[0] - 15, LEVELS[1] + 15, COARSE, dtype=np.float32)
    return np.stack(np.meshgrid(x, x + CENTRE_Y, z, indexing="ij"))


def jacobian(source: np.ndarray) -> np.ndarray:
    """Jacobian determinant [X, Y, Z] of the map `source` in mm [3, X, Y, Z]: local volume ratio, > 0 without folds."""
    (a, b, c), (d, e, f), (g, h, i) = (np.gradient(axis, COARSE) for axis in source)
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def deformation(rng: RNG, grid: np.ndarray) -> np.ndarray:
    """Template position of each grid point in mm [3, X, Y, Z]: a random affine map plus smooth random displacements.

    The displacements are reduced in steps of 10 % until the Jacobian is at least FOLD_LIMIT everywhere.
    """
    angle = np.deg2rad(3.0) * rng.standard_normal()
    scale = 1 + 0.04 * rng.standard_normal(3)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix = (turn / scale).astype(np.float32)
    centre = np.array([0, CENTRE_Y, 0], np.float32).reshape(3, 1, 1, 1)
    offset = np.array([1, 1, 2], np.float32).reshape(3, 1, 1, 1) * rng.standard_normal((3, 1, 1, 1), dtype=np.float32)
    # einsum instead of BLAS, whose last digit depends on the number of threads.
    head = np.einsum("ij,jxyz->ixyz", matrix, grid - centre) + centre + offset
    random = sum(
        amplitude * np.stack([smooth_noise(rng, grid.shape[1:], length / COARSE) for _ in range(3)])
        for amplitude, length in DEFORMATIONS
    )
    while jacobian(head + random).min() < FOLD_LIMIT:
        random *= 0.9
    return head + random


def fractions(kind: Template, source: np.ndarray) -> np.ndarray:
    """Fractions of grey matter, white matter and brain at template positions `source` in mm [3, ...]: [3, ...]."""
    at = (source - kind.origin.reshape(3, *[1] * (source.ndim - 1))) / kind.step
    return sample(kind.maps, at.astype(np.float32))


@dataclass(frozen=True)
class Lesion:
    """Signed fields [X, Y, Z] in mm on the coarse grid, positive inside: core, necrosis (core without rim), oedema."""

    core: np.ndarray
    necrosis: np.ndarray
    oedema: np.ndarray
    centre: np.ndarray  # mm
    radius: float  # mm, of the core


def seed_point(rng: RNG, grid: np.ndarray, tissue: np.ndarray, radius: float) -> np.ndarray:
    """A random white-matter point (mm [3]) within LEVELS, at least 6 mm + half a core radius below the brain surface.

    grid mm [3, X, Y, Z], tissue fractions [3, X, Y, Z], core radius in mm.
    """
    depth = distance_transform_edt(tissue[2] > 0.5, sampling=COARSE)
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
    pushed = (grid - away / r * delta - grid[:, :1, :1, :1]) / COARSE
    return np.stack([map_coordinates(axis, pushed, order=1, mode="nearest") for axis in source])


def grow(rng: RNG, grid: np.ndarray, tissue: np.ndarray, centre: np.ndarray, radius: float) -> Lesion:
    """A lesion around `centre` (mm [3]) with a core of `radius` mm: necrosis, enhancing rim, and oedema around them.

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
    necrosis = core - rim
    white = np.clip(tissue[1], 0, 1)
    csf = np.clip(tissue[2] - tissue[0] - tissue[1], 0, 1)
    cost = white + 3 * np.clip(tissue[0], 0, 1) + 15 * csf + 100 * (tissue[2] < 0.3)
    cost *= np.exp(0.35 * smooth_noise(rng, shape, 6 / COARSE))
    # Arrival is computed only in a box of min(3 radius + 15, 55) mm around the centre, beyond which no oedema is made.
    reach = int(min(3 * radius + 15, 55) / COARSE)
    box = tuple(slice(max(0, s - reach), s + reach + 1) for s in start)
    arrival = np.full(shape, 1e3, np.float32)
    inner = tuple(s - b.start for s, b in zip(start, box, strict=True))
    arrival[box] = MCP_Geometric(cost[box].astype(float), sampling=(COARSE,) * 3).find_costs([inner])[0]
    extent = radius + np.exp(rng.normal(np.log(17.0), 0.45))
    oedema = np.maximum(extent - gaussian_filter(arrival, 0.6), core)
    return Lesion(core, necrosis, oedema, centre, radius)


def without_islands(core: np.ndarray, start: tuple[int, ...]) -> np.ndarray:
    """The core's signed field without the components that do not contain the voxel `start`."""
    pieces, _ = label(core > 0)
    return np.where((core > 0) & (pieces != pieces[start]), -COARSE, core)


def slice_positions(lesion: Lesion, inside: np.ndarray, grid: np.ndarray, count: int) -> np.ndarray:
    """`count` ascending slice positions in mm, evenly spaced over the lesion (`inside` [X, Y, Z]) and MARGIN beyond."""
    z = grid[2, 0, 0]
    hit = z[inside.any(axis=(0, 1))]
    low, high = (hit.min(), hit.max()) if len(hit) else (lesion.centre[2], lesion.centre[2])
    return np.linspace(max(low - MARGIN, LEVELS[0] - 6), min(high + MARGIN, LEVELS[1] + 6), count)


def slice_grid(levels: np.ndarray, size: int) -> np.ndarray:
    """Pixel positions in mm [3, N, H, W] of slices at `levels` (mm [N]): anterior up, subject's right on the left."""
    step = FIELD_OF_VIEW / size
    along = (np.arange(size, dtype=np.float32) + 0.5) * step - FIELD_OF_VIEW / 2
    # MNI x grows to the subject's right; the first column is the right side, the first row the front.
    z, y, x = np.meshgrid(levels.astype(np.float32), CENTRE_Y - along, -along, indexing="ij")
    return np.stack([x, y, z])


def at_slices(fields: np.ndarray, grid: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Coarse fields [K, X, Y, Z] interpolated at the pixel positions `where` (mm [3, N, H, W]): [K, N, H, W]."""
    at = (where - grid[:, :1, :1, :1]) / COARSE
    return np.stack([map_coordinates(f, at, order=1, mode="nearest") for f in fields])


def soft(field: np.ndarray, width: float) -> np.ndarray:
    """Fraction of a pixel inside a signed `field` (mm): 0.5 on the border, 0 or 1 half a pixel `width` (mm) from it."""
    return np.clip(field / width + 0.5, 0, 1)


def lesions(rng: RNG, grid: np.ndarray, source: np.ndarray) -> tuple[Lesion, np.ndarray, np.ndarray]:
    """A lesion, with a second focus in SECOND_FOCUS of the subjects; tissue and source maps after its mass effect."""
    tissue = fractions(template(COARSE), source)
    radius = float(np.clip(np.exp(rng.normal(np.log(CORE_RADIUS[0]), CORE_RADIUS[1])), *RADIUS_LIMITS))
    radii = (radius, 0.5 * radius) if rng.random() < SECOND_FOCUS else (radius,)
    centres = [seed_point(rng, grid, tissue, size) for size in radii]
    depth = distance_transform_edt(tissue[2] > 0.5, sampling=COARSE)
    for centre, size in zip(centres, radii, strict=True):
        source = mass_effect(grid, source, centre, size, depth)
    tissue = fractions(template(COARSE), source)
    foci = [grow(rng, grid, tissue, centre, size) for centre, size in zip(centres, radii, strict=True)]
    joined = [np.maximum.reduce([getattr(focus, k) for focus in foci]) for k in ("core", "necrosis", "oedema")]
    return Lesion(*joined, centres[0], radius), tissue, source


def simulate_subject(index: int, image_size: int, slices_per_subject: int, seed: int) -> dict[str, np.ndarray]:
    """One subject: "images" float32 [N, 4, H, W] in [-1, 1], "labels" uint8 [N, H, W], "levels" int64 [N] in mm.

    "core_radius" is the sampled radius of the (first) tumour core in mm. The result depends on `seed`, `index` and the
    sizes only, not on the number of subjects or of workers.
    """
    rng = np.random.default_rng([seed, index])
    pixel = FIELD_OF_VIEW / image_size
    grid = coarse_grid()
    source = deformation(rng, grid)
    lesion, tissue, source = lesions(rng, grid, source)
    levels = slice_positions(lesion, (lesion.oedema > 0) & (tissue[2] > 0.5), grid, slices_per_subject)
    where = slice_grid(levels, image_size)
    fields = at_slices(np.stack([*source, lesion.core, lesion.necrosis, lesion.oedema]), grid, where)
    grey, white, brain = fractions(template(max(1.0, pixel)), fields[:3])
    ragged = 0.12 * smooth_noise(rng, brain.shape, (0.3, 4 / pixel, 4 / pixel))
    mask = large_pieces(brain > 0.5 + ragged)
    images, labels = paint(rng, grey, white, mask, fields[3:], pixel)
    return {
        "images": images,
        "labels": labels,
        "levels": np.round(levels).astype(np.int64),
        "core_radius": np.float64(lesion.radius),
    }


def large_pieces(mask: np.ndarray) -> np.ndarray:
    """Masks [N, H, W] without components smaller than a tenth of the largest one of the slice, holes filled.

    This removes specks at the ragged edge but keeps the temporal lobes, which are separate in low slices.
    """
    out = np.zeros_like(mask)
    for k, plane in enumerate(mask):
        pieces, _ = label(plane)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        out[k] = binary_fill_holes((sizes >= max(0.1 * sizes.max(), 1))[pieces])
    return out


def paint(
    rng: RNG, grey: np.ndarray, white: np.ndarray, mask: np.ndarray, lesion: np.ndarray, pixel: float
) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 4, H, W] and labels [N, H, W] from tissue fractions, brain mask [N, H, W] and lesion [3, N, H, W].

    The lesion's fields are in mm (see `Lesion`); `pixel` is the pixel size in mm.
    """
    core, necrosis, oedema = lesion
    inside = {"necrosis": soft(necrosis, pixel)}
    inside["enhancing"] = soft(core, pixel) - inside["necrosis"]
    # Oedema does not fill ventricles or sulci.
    csf = np.clip(1 - grey - white, 0, 1)
    spread = (soft(oedema - GREY_LAG * grey, pixel) - soft(core, pixel)).clip(0)
    inside["oedema"] = spread * np.clip(1.4 - 1.6 * csf, 0, 1)
    healthy = 1 - sum(inside.values())
    # Vessels: thin sheets in sulcal CSF near the brain's edge, bright after contrast agent.
    below = np.stack([distance_transform_edt(plane, sampling=pixel) for plane in mask])
    shallow = np.clip((VESSEL_DEPTH - below) / 5, 0, 1).astype(np.float32)
    sheet = np.abs(smooth_noise(rng, grey.shape, (0.6, 5 / pixel, 5 / pixel))) < 0.12
    vessel = 0.5 * csf * sheet * shallow * healthy
    parts = {
        **inside,
        "vessel": vessel,
        "grey": grey * healthy,
        "white": white * healthy,
        "csf": csf * healthy - vessel,
    }

    tissues = {name: vary(tissue, rng) for name, tissue in TISSUES.items()}
    texture = 1 + 0.025 * smooth_noise(rng, grey.shape, (0.5, 5 / pixel, 5 / pixel))
    images = np.empty((len(grey), len(CHANNELS), *grey.shape[1:]), np.float32)
    for c, channel in enumerate(CHANNELS):
        clean = sum(share * np.float32(signal(tissues[name], channel)) for name, share in parts.items())
        bias = np.exp(0.10 * smooth_noise(rng, grey.shape, (2.0, 45 / pixel, 45 / pixel)))
        sigma = NOISE * max(signal(tissues[name], channel) for name in ("grey", "white"))
        magnitude = rician((clean * texture * bias).astype(np.float32), sigma, rng) * mask
        images[:, c] = 2 * np.clip(magnitude / np.percentile(magnitude[mask], 99.5), 0, 1) - 1
    return images, labels_of(inside, mask)


def labels_of(inside: dict[str, np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Labels uint8 [N, H, W]: the largest lesion part where the lesion fills more than half of a pixel of the brain."""
    order = ("necrosis", "oedema", "enhancing")  # values 1, 2, 3 of BraTS
    stack = np.stack([inside[name] for name in order])
    labels = np.where(stack.sum(0) > 0.5, stack.argmax(0) + 1, 0)
    return (labels * mask).astype(np.uint8)


def simulate(
    subjects: int,
    image_size: int = 64,
    slices_per_subject: int = 8,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SliceSet:
    """A slice set of `subjects` simulated subjects. Arguments as in `registry.load`.

    0, which means "all" for other sources, stands for 369 subjects (as in BraTS 2020) and 64 slices per subject.
    Raises DataError for negative numbers or images below 16 pixels.
    """
    subjects, slices_per_subject = (subjects or 369), (slices_per_subject or 64)
    if subjects < 1 or slices_per_subject < 1 or image_size < 16:
        raise DataError(
            f"phantom: {subjects} subjects with {slices_per_subject} slices of {image_size} pixels cannot be made; "
            "ask for at least 1 subject, 1 slice and 16 pixels."
        )
    jobs = (delayed(simulate_subject)(i, image_size, slices_per_subject, seed) for i in range(subjects))
    made = []
    for subject in Parallel(n_jobs=workers, return_as="generator")(jobs):
        made.append(subject)
        if progress:
            progress(len(made), subjects)
    return SliceSet(
        **{name: np.concatenate([subject[name] for subject in made]) for name in ("images", "labels", "levels")},
        subjects=np.repeat([f"phantom-{i:05d}" for i in range(subjects)], slices_per_subject),
        channels=CHANNELS,
        label_names=LABEL_NAMES,
        spacing=(FIELD_OF_VIEW / image_size,) * 2,
        source="phantom",
        licence="simulated by this project (Apache-2.0) from the ICBM 152 2009a template bundled with nilearn; "
        "cite Fonov et al., NeuroImage 54:313 (2011)",
        intended_use="teaching and tests of methods; a simulation, no patient data, not for diagnosis",
        processing={
            "simulation": "deformed ICBM 152 anatomy, grown lesion with mass effect, MR signal equations, Rician noise",
            "lesion size": f"core radius log-normal, median {CORE_RADIUS[0]:g} mm, deviation of its logarithm "
            f"{CORE_RADIUS[1]:g}, clipped to {RADIUS_LIMITS[0]:g} - {RADIUS_LIMITS[1]:g} mm",
            "intensity": "per subject and channel divided by the brain's 99.5th percentile, clipped, background -1",
            "slices": "axial, evenly spaced over the lesion and 5 mm beyond it",
        },
    )
