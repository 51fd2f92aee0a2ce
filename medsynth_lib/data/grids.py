"""Where voxels lie, from the headers of NIfTI files alone: whether files share one grid, and how much they show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from . import preprocess as pre
from .slices import DataError

# Programs round what they write, so headers of one grid may differ a little. A direction or voxel size wrong by 0.001
# moves the far end of 500 voxels by half a voxel. The smallest real error of an origin is half a voxel: the corner of
# the first voxel taken for its centre.
DIRECTION = 1e-3  # largest difference of the axes' unit vectors, and relative difference of the voxel sizes
ORIGIN = 0.1  # largest distance of the origins, in voxels along any axis
OUTLIER = 3  # a field of view this many times larger or smaller than the median has a wrong unit, not a larger patient


def check_grid(reference: Path, *others: Path) -> None:
    """Raise DataError, naming two files, unless all have the shape, voxel size, direction and origin of `reference`.

    Headers are compared as stored. Two files that say the same place in another order of voxels are refused, too:
    mostly one of the headers is wrong, and nothing in the files says which.
    """
    expected = pre.open_nifti(reference)
    for other in others:
        if found := differences(pre.open_nifti(other), expected):
            raise DataError(
                f"{other} does not lie on the grid of {reference}: its {' and its '.join(found)}; save it again "
                "on that grid, or correct the header that is wrong."
            )


def differences(image: nib.Nifti1Image, expected: nib.Nifti1Image) -> list[str]:
    """What differs between the two grids, in words: "shape is ..., not ..."."""
    found = []
    shapes = [tuple(i.shape[:3]) for i in (image, expected)]
    if shapes[0] != shapes[1]:
        found.append(f"shape is {shapes[0]}, not {shapes[1]}")
    sizes = [nib.affines.voxel_sizes(i.affine) for i in (image, expected)]
    if np.abs(sizes[0] / sizes[1] - 1).max() > DIRECTION:
        found.append(f"voxel size is {_numbers(sizes[0])} mm, not {_numbers(sizes[1])} mm")
    axes = [i.affine[:3, :3] / size for i, size in zip((image, expected), sizes, strict=True)]
    if np.abs(axes[0] - axes[1]).max() > DIRECTION:
        codes = ["".join(nib.aff2axcodes(i.affine)) for i in (image, expected)]
        turned = max(np.degrees(np.arccos(np.clip((axes[0] * axes[1]).sum(axis=0), -1, 1))))
        found.append(f"direction is {codes[0]}, not {codes[1]} (an axis differs by {turned:.3g} degrees)")
    shift = image.affine[:3, 3] - expected.affine[:3, 3]
    if np.abs(np.linalg.solve(expected.affine[:3, :3], shift)).max() > ORIGIN:
        origins = [i.affine[:3, 3] for i in (image, expected)]
        found.append(f"origin is {_numbers(origins[0])} mm, not {_numbers(origins[1])} mm")
    return found


def _numbers(values: np.ndarray) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"


def field_of_view(paths: Sequence[Path]) -> float:
    """Largest in-plane extent in mm over NIfTI files (from their headers); see `largest_extent`."""
    return largest_extent({path: extent(path) for path in paths})


def largest_extent(extents: dict[Path, tuple[float, float]]) -> float:
    """The largest of the extents (width, height) in mm, by file; it gives all subjects one pixel spacing.

    Raises DataError naming a file whose extent differs from the median by more than a factor of three: all others
    would shrink beside it, or it beside them.
    """
    paths, sizes = list(extents), np.array(list(extents.values()))
    median = np.median(sizes, axis=0)
    ratios = np.exp(np.abs(np.log(sizes / median))).max(axis=1)
    worst = int(ratios.argmax())
    if ratios[worst] > OUTLIER:
        raise DataError(
            f"{paths[worst]} shows {_numbers(sizes[worst].round(1))} mm in width and height, "
            f"but the median of all {len(paths)} files is {_numbers(median.round(1))} mm; correct the voxel size in "
            "its header or leave the file out."
        )
    return float(sizes.max())


def extent(path: Path) -> tuple[float, float]:
    """Width and height in mm of the slices of a NIfTI volume, each along the voxel axis nearest to the patient's axis.

    These are x and y of a volume, and the plane of a single slice (see `preprocess.plane`). Raises DataError for a file
    without a voxel.
    """
    image = pre.open_nifti(path)
    if 0 in image.shape:
        raise DataError(f"{path} has shape {image.shape}, without a single voxel; copy it again from the source.")
    of_axis = np.argsort(nib.io_orientation(image.affine)[:, 0])  # the voxel axis along x, along y and along z
    extents = (image.shape[:3] * nib.affines.voxel_sizes(image.affine))[of_axis]
    across, down, _ = pre.plane(np.array(image.shape[:3])[of_axis])
    return float(extents[across]), float(extents[down])
