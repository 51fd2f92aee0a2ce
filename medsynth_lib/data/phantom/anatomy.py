"""The phantom's anatomy: a real average brain, deformed anew for every subject.

Grey- and white-matter maps of the ICBM 152 2009a template (Fonov et al. 2011, as bundled with nilearn) are deformed by
a smooth random map. The map lives on one coarse 3-D grid of COARSE mm; slices are sampled from it at full resolution.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from nilearn import datasets
from scipy.ndimage import binary_fill_holes, gaussian_filter, label
from torch.nn.functional import grid_sample

FIELD_OF_VIEW = 192.0  # mm, in plane
COARSE = 3.0  # mm, grid of deformation and growth
LEVELS = (-24.0, 57.0)  # mm above the anterior commissure: slices with both hemispheres and ventricles
CENTRE_Y = -18.0  # mm, middle of the brain from front to back in the template
# Amplitude and scale in mm of the two random deformation fields
DEFORMATIONS = ((4.0, 14.0), (1.2, 6.0))
FOLD_LIMIT = 0.15  # smallest Jacobian determinant that a random deformation may have
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


def sample(fields: np.ndarray, at: np.ndarray, outside: str = "zeros") -> np.ndarray:
    """Fields [K, X, Y, Z] interpolated trilinearly at voxel positions `at` [3, ...]: float32 [K, ...].

    Outside the grid they are 0, or with outside="border" what they are at its border.
    """
    volume = torch.from_numpy(np.ascontiguousarray(fields, dtype=np.float32))[None]
    points = torch.from_numpy(np.ascontiguousarray(at, dtype=np.float32)).reshape(3, -1).T
    extent = torch.tensor(volume.shape[2:], dtype=torch.float32) - 1
    # grid_sample takes the last axis first, and positions from -1 to 1.
    scaled = (2 * points / extent - 1).flip(1)[None, :, None, None]
    found = grid_sample(volume, scaled, padding_mode=outside, align_corners=True)
    return found.reshape(len(fields), *at.shape[1:]).numpy()


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


def slice_grid(levels: np.ndarray, size: int) -> np.ndarray:
    """Pixel positions in mm [3, N, H, W] of slices at `levels` (mm [N]): anterior up, subject's right on the left."""
    step = FIELD_OF_VIEW / size
    along = (np.arange(size, dtype=np.float32) + 0.5) * step - FIELD_OF_VIEW / 2
    # MNI x grows to the subject's right; the first column is the right side, the first row the front.
    z, y, x = np.meshgrid(levels.astype(np.float32), CENTRE_Y - along, -along, indexing="ij")
    return np.stack([x, y, z])


def at_slices(fields: np.ndarray, grid: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Coarse fields [K, X, Y, Z] interpolated at the pixel positions `where` (mm [3, N, H, W]): [K, N, H, W]."""
    return sample(fields, (where - grid[:, :1, :1, :1]) / COARSE, outside="border")


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
