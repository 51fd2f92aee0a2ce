"""From volumes of any scanner to slices of one size and one intensity scale: the steps shared by all sources.

Order per volume: read and orient, scale intensities, cut into axial slices, select slices, then pad and resample in
one interpolation. A source supplies only `read(case) -> AxialVolume`; `stack_cases` does the rest.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from .slices import DataError

PERCENTILES = (0.5, 99.5)
MINIMUM_BRAIN = 0.15  # fraction of a slice's pixels, the rule of Akbar et al. 2024

INTENSITY_BRAIN = (
    "per volume and per channel: 0.5-99.5 percentile of the brain's (non-zero) voxels to [-1, 1], clipped, "
    "background -1; no constant is shared between subjects"
)
INTENSITY_ALL = (
    "per volume and per channel: 0.5-99.5 percentile of all voxels to [-1, 1], clipped; "
    "no constant is shared between subjects"
)
ORIENTATION = "axial slices of the volume in RAS order, anterior up, patient's right on the left (radiological view)"
GEOMETRY = (
    "padded with background to a square, then images resampled by antialiased linear interpolation and labels by "
    "the same interpolation per label followed by argmax"
)
SLICES_BRAIN = "slices with more than 15 % brain pixels (Akbar et al. 2024), evenly spaced among them"

FLAT = 1e-3  # an affine that gives a voxel less than this fraction of its edges' product maps the volume to a plane
OTHER_UNITS = {1: "metres", 3: "micrometres"}  # by NIfTI's code; 2 is mm, 0 does not say and is taken as mm
SIZES_AGREE = 0.01  # largest relative difference of the two voxel sizes in a header; rounding stays far below

READ_ERRORS = (OSError, EOFError, ValueError, TypeError, zlib.error, ImageFileError, HeaderDataError)


@dataclass(frozen=True)
class AxialVolume:
    """One volume cut into axial slices at its own resolution.

    images   float32 [Z, C, H, W] in [-1, 1]
    labels   uint8 [Z, H, W] or None
    keep     indices of the slices that satisfy the slice rule, ascending
    spacing  (row, column) pixel size in mm
    kind     the class of all its slices, or None
    """

    images: np.ndarray
    labels: np.ndarray | None
    keep: np.ndarray
    spacing: tuple[float, float]
    kind: int | None = None


def open_nifti(path: Path) -> nib.Nifti1Image:
    """The file as stored, with three axes at least; of volumes only the header is read.

    Raises DataError naming the file when it is missing or corrupt, or when its header does not say where a voxel lies.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} is missing; copy it again from the source.")
    try:
        image = nib.load(path)
        affine, stated = image.affine, np.array(image.header.get_zooms()[:3], dtype=float)
        unit = int(image.header["xyzt_units"]) & 7  # the other bits are the unit of time
        if len(image.shape) == 2:  # a single slice: add the third axis that its affine has
            image = nib.Nifti1Image(np.asanyarray(image.dataobj)[..., None], affine)
    except READ_ERRORS as error:
        raise DataError(f"{path} cannot be read ({error}); copy it again from the source.") from error
    sizes = nib.affines.voxel_sizes(affine)
    flat = not np.isfinite(affine).all() or not abs(np.linalg.det(affine[:3, :3])) > FLAT * sizes.prod()
    if flat or not np.isfinite(stated).all() or stated.min() <= 0:
        raise DataError(f"{path} has voxel size {_mm(stated)}, by its affine {_mm(sizes)}; correct the header.")
    if unit in OTHER_UNITS:
        raise DataError(f"{path} gives its voxel size in {OTHER_UNITS[unit]}; convert the header to mm.")
    if np.abs(np.log(stated / sizes[: len(stated)])).max() > SIZES_AGREE:
        raise DataError(f"{path} has voxel size {_mm(stated)} but, by its affine, {_mm(sizes)}; correct the header.")
    return image


def _mm(sizes: np.ndarray) -> str:
    return " x ".join(f"{size:g}" for size in sizes) + " mm"


def read_nifti(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Voxels [X, Y, Z] or [X, Y, Z, C] in RAS order and the voxel size (x, y, z) in mm.

    Raises DataError naming the file when it is missing, corrupt, or holds NaN or infinite values.
    """
    try:
        image = nib.as_closest_canonical(open_nifti(path))
        voxels = np.asanyarray(image.dataobj)
        if voxels.dtype.kind not in "buif":
            raise ValueError(f"voxel type {voxels.dtype} is not a number")
    except DataError:
        raise
    except READ_ERRORS as error:
        raise DataError(f"{path} cannot be read ({error}); copy it again from the source.") from error
    if voxels.ndim not in (3, 4) or 0 in voxels.shape:
        raise DataError(f"{path} has shape {voxels.shape}; expected a volume [X, Y, Z] or [X, Y, Z, channels].")
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise DataError(f"{path} holds NaN or infinite values; clean the file or leave this subject out.")
    spacing = tuple(float(s) for s in image.header.get_zooms()[:3])
    return (voxels[..., 0] if voxels.shape[3:] == (1,) else voxels), spacing


def map_labels(voxels: np.ndarray, mapping: dict[int, int], path: Path) -> np.ndarray:
    """Label values replaced by `mapping`, uint8 of the same shape; DataError naming the file for an unknown value."""
    values = np.unique(voxels)
    unknown = [float(v) for v in values if float(v) not in mapping]
    if unknown:
        raise DataError(
            f"{path} holds label value {unknown[0]:g}; known values are {sorted(mapping)}: "
            "map it to one of these or leave this subject out."
        )
    table = np.array([mapping.get(k, 0) for k in range(max(mapping) + 1)], dtype=np.uint8)
    return table[voxels.astype(np.int64)]


def scale_intensity(image: np.ndarray, foreground: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Channels [C, ...] mapped from the percentiles of their foreground to [-1, 1], clipped: float32 [C, ...].

    Pixels where `foreground` [...] is False become -1. `names` [C] are for messages, such as the channel's file.
    Raises DataError when a channel is constant.
    """
    out = np.full(image.shape, -1.0, dtype=np.float32)
    for channel, scaled, name in zip(image, out, names, strict=True):
        values = channel[foreground].astype(np.float32)
        low, high = np.percentile(values, PERCENTILES) if values.size else (0.0, 0.0)
        if low == high and values.size:  # nearly all voxels are equal, so both percentiles are that value
            low, high = float(values.min()), float(values.max())
        if not high > low:
            where = "every voxel" if foreground.all() or not values.size else "every voxel that is not background"
            raise DataError(f"{name} is constant ({where} is {low:g}); replace it or leave it out.")
        scaled[foreground] = np.clip((values - low) / (high - low), 0, 1) * 2 - 1
    return out


def plane(shape: Sequence[int]) -> tuple[int, int, int]:
    """Axes (across, down, normal) of the slices of a volume of `shape` [X, Y, Z, ...] in RAS order.

    Axial slices (0, 1, 2), but a volume of one sagittal or one coronal slice keeps that slice, superior up.
    """
    if shape[2] > 1 and shape[0] == 1:
        return 1, 2, 0
    if shape[2] > 1 and shape[1] == 1:
        return 0, 2, 1
    return 0, 1, 2


def to_axial(volume: np.ndarray) -> np.ndarray:
    """[..., X, Y, Z] in RAS order as slices [Z, ..., H, W]: anterior up, patient's right on the left."""
    # x grows towards the patient's right and y towards the front, so rows run along -y and columns along -x.
    return np.moveaxis(np.flip(np.swapaxes(volume, -3, -2), axis=(-3, -2)), -1, 0)


def from_axial(slices: np.ndarray) -> np.ndarray:
    """The inverse of `to_axial`: slices [Z, ..., H, W] as a volume [..., X, Y, Z] in RAS order."""
    return np.swapaxes(np.flip(np.moveaxis(slices, 0, -1), axis=(-3, -2)), -3, -2)


def brain_slices(foreground: np.ndarray, minimum: float = MINIMUM_BRAIN) -> np.ndarray:
    """Indices of the slices of which more than the fraction `minimum` is foreground; `foreground` bool [Z, H, W]."""
    return np.flatnonzero(foreground.mean(axis=(1, 2)) > minimum)


def evenly_spaced(items: Sequence | np.ndarray, maximum: int) -> list:
    """At most `maximum` of the items, at evenly spaced indices; all when `maximum` is 0."""
    n = len(items)
    k = n if maximum == 0 else min(n, maximum)
    return [items[int((i + 0.5) * n / k)] for i in range(k)]


def choose_subjects(subjects: Sequence[str], maximum: int, seed: int) -> list[str]:
    """A seeded random subset of `maximum` subjects, sorted; all when `maximum` is 0 or more than there are."""
    known = sorted(set(subjects))
    if maximum == 0 or maximum >= len(known):
        return known
    return sorted(np.random.default_rng(seed).choice(known, size=maximum, replace=False).tolist())


def choice(read: int, there: int, what: str, seed: int) -> str:
    """Which part of a source is used, for the record; printed, too, when it is not all."""
    if read == there:
        return f"all {there} {what}"
    text = f"{read} of {there} {what}, chosen by seed {seed}"
    print(text)
    return text


def fit_square(
    images: np.ndarray,
    labels: np.ndarray | None,
    size: int,
    spacing: tuple[float, float],
    field: float | None = None,
) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Pad images [N, C, H, W] and labels [N, H, W] to a square of `field` mm and resample it to `size` x `size` pixels.

    spacing  (row, column) pixel size in mm; pixels that are not square become square in the same interpolation
    field    side of the square in mm, by default and at least the longer side of the image
    Returns images, labels and the new pixel spacing in mm.
    """
    height, width = images.shape[2:]
    field = max(height * spacing[0], width * spacing[1], field or 0.0)
    rows, columns = max(height, round(field / spacing[0])), max(width, round(field / spacing[1]))
    top, left = (rows - height) // 2, (columns - width) // 2
    border = ((top, rows - height - top), (left, columns - width - left))
    padded = np.pad(images, ((0, 0), (0, 0), *border), constant_values=-1.0)
    out = np.clip(_resample(padded, size), -1, 1)
    out[out < -0.99999] = -1  # background stays exactly -1 in spite of rounding
    if labels is None:
        return out, None, field / size
    padded = np.pad(labels, ((0, 0), *border))
    values = np.unique(padded)
    # Each label is resampled as a map of its own and the largest one chosen, so that no new label value can appear.
    soft = _resample((padded[:, None] == values[:, None, None]).astype(np.float32), size)
    return out, values[soft.argmax(axis=1)].astype(np.uint8), field / size


def _resample(x: np.ndarray, size: int) -> np.ndarray:
    if x.shape[2:] == (size, size):
        return x
    tensor = torch.from_numpy(np.ascontiguousarray(x))
    return F.interpolate(tensor, (size, size), mode="bilinear", antialias=True, align_corners=False).numpy()


def stack_cases(
    cases: Sequence[tuple[str, object]],
    read: Callable[[object], AxialVolume],
    *,
    image_size: int,
    slices_per_subject: int,
    field: float | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Read all cases, select and resample their slices: the arrays of a SliceSet and its "spacing", by name.

    cases               (subject, argument of `read`) per volume
    image_size          pixels along each side
    slices_per_subject  divided among the volumes of a subject, at least one from each, with slice positions numbered
                        consecutively; 0 = all
    field               see `fit_square` and `grids.field_of_view`
    workers             volumes read at the same time
    progress            called as progress(done, total) after each case
    Raises DataError when no slice is left, or when volumes differ in their number of channels.
    """
    files: dict[str, list] = {}
    for subject, case in cases:
        files.setdefault(subject, []).append(case)
    jobs = []
    for subject, own in sorted(files.items()):
        jobs += [(subject, case, max(slices_per_subject // len(own), slices_per_subject > 0)) for case in own]

    def work(job: tuple[str, object, int]) -> tuple | None:
        volume = read(job[1])
        keep = np.array(evenly_spaced(volume.keep, job[2]), dtype=np.int64)
        if len(keep) == 0:
            return None
        labels = None if volume.labels is None else volume.labels[keep]
        fitted = fit_square(volume.images[keep], labels, image_size, volume.spacing, field)
        return *fitted, keep, len(volume.images), volume.kind

    names = ("images", "labels", "subjects", "levels", "classes", "spacing")
    parts: dict[str, list] = {name: [] for name in names}
    first_level = dict.fromkeys(files, 0)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for done, ((subject, case, _), result) in enumerate(zip(jobs, pool.map(work, jobs), strict=True), 1):
            if progress:
                progress(done, len(jobs))
            if result is None:
                warnings.warn(f"{subject}: no slice satisfies the slice rule; the volume is left out.", stacklevel=2)
                continue
            images, labels, spacing, keep, depth, kind = result
            if parts["images"] and images.shape[1] != parts["images"][0].shape[1]:
                raise DataError(
                    f"{case} has {images.shape[1]} channels, the files before it {parts['images'][0].shape[1]}; "
                    "give all files the same channels."
                )
            classes = None if kind is None else np.full(len(keep), kind, dtype=np.int64)
            values = (images, labels, [subject] * len(keep), keep + first_level[subject], classes, spacing)
            for name, value in zip(parts, values, strict=True):
                parts[name].append(value)
            first_level[subject] += depth
    if not parts["images"]:
        raise DataError("no slice of any subject satisfies the slice rule; check that this is the right source.")
    spacing = float(np.median(parts.pop("spacing")))
    parts = {name: value for name, value in parts.items() if value[0] is not None}
    return {name: np.concatenate(value) for name, value in parts.items()} | {"spacing": (spacing, spacing)}
