"""From the numbers that a folder's masks store to labels 0, 1, 2, ...: which there are, and which are one foreground.

Masks hold label numbers, with or without gaps, or show a white foreground on black. The second kind may have smoothed
edges or JPEG's noise, the first may not: a value in between could be either. So masks with white and other values are
taken as black and white only where no area, but at most edges, has such a value; otherwise they are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..slices import DataError
from .image_files import JPEG, read_mask, read_mask_and_colours, suffix

MOST_LABELS = 31  # training has one channel per label, and labels this many are usually counted objects
WHITE = (255, 65535)  # the brightest value of 8 and of 16 bits
JPEG_WHITE = 255

AREA = (1, 3, 3)  # pixels [Z, H, W] of one value that are an area rather than a smoothed edge
# JPEG moves values: so far from black or white, or within an area, by its noise. Of two-level masks stored at quality
# 20 to 95, sharp or resized, none has an area within these limits.
JPEG_MARGIN, JPEG_NOISE = 8, 4
MOST_BETWEEN = 0.1  # largest share of pixels in the middle half of the scale; there are fewer than bright ones, too
SHOWN = 8  # values that a message lists


@dataclass(frozen=True)
class Encoding:
    """How the masks of a folder store their labels.

    values  stored value of each label, ascending, 0 (background) first
    cut     stored value above which a pixel is foreground, for masks of black and white; otherwise None
    names   label names, background first; labels with numbers of their own keep them: "label 5"
    text    stored value, label and share of pixels for the processing record
    """

    values: tuple[int, ...]
    cut: float | None
    names: tuple[str, ...]
    text: str

    def labels(self, values: np.ndarray, file: Path) -> np.ndarray:
        """Label numbers uint8 of the stored values (any shape) of `file`; DataError for a value not known."""
        if self.cut is not None:
            return (values > self.cut).astype(np.uint8)
        labels, known = np.zeros(values.shape, dtype=np.uint8), values == 0
        for label, value in enumerate(self.values[1:], 1):
            of_label = values == value
            labels[of_label] = label
            known |= of_label
        if not known.all():
            raise DataError(
                f"{file} holds value {values[~known][0]:g}, not found when all masks were read; start again."
            )
        return labels


@dataclass(frozen=True)
class _Mask:
    """What one file holds: pixels per stored value, and the colour of each value where it is an index."""

    file: Path
    counts: dict[int, int]
    colours: dict[int, tuple[int, ...]]

    @property
    def brightest(self) -> int:
        return max(self.counts)

    @property
    def is_jpeg(self) -> bool:
        return suffix(self.file) in JPEG


def learn_encoding(masks: Sequence[Path], workers: int = 1) -> Encoding:
    """The encoding that all masks share.

    Raises DataError naming the values, and a file that holds them, when they allow two readings, when there are more
    than 31 labels, or when no mask holds a label.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        known = list(pool.map(_count, masks))
        _require_same_colours(known)
        pixels = _pixels(known)
        _require_labels(pixels, known)
        labels = sorted(set(pixels) - {0})
        any_jpeg = any(mask.is_jpeg for mask in known)
        white = JPEG_WHITE if any_jpeg else labels[-1]
        if any_jpeg or (white in WHITE and len(labels) > 1):
            _require_black_and_white(known, white, pool)
            return _black_and_white(known, white)
    if len(labels) > MOST_LABELS:
        most = max(known, key=lambda mask: len(mask.counts))
        raise DataError(
            f"the masks hold {len(labels)} label values ({_listed(labels)}), {most.file} most of them, but at most "
            f"{MOST_LABELS} can be used; merge labels, and give counted objects of one kind one number."
        )
    names = ("background", *(("foreground",) if len(labels) == 1 else (f"label {value}" for value in labels)))
    values = (0, *labels)
    return Encoding(values, None, names, _text([pixels[value] for value in values], values, names))


def _count(file: Path) -> _Mask:
    stored, colours = read_mask_and_colours(file)
    values, counts = np.unique(stored, return_counts=True)
    numbers = [int(value) for value in values]
    of_number = {} if colours is None else {k: tuple(colours[k].tolist()) for k in numbers if k < len(colours)}
    return _Mask(file, dict(zip(numbers, counts.tolist(), strict=True)), of_number)


def _require_same_colours(masks: Sequence[_Mask]) -> None:
    """Raise DataError unless an index has one colour in all masks, and black, if at all, is index 0."""
    first: dict[int, _Mask] = {}
    for mask in masks:
        for value, colour in mask.colours.items():
            other = first.setdefault(value, mask)
            if other.colours[value] != colour:
                raise DataError(
                    f"{mask.file} shows value {value} in the colour {colour} but {other.file} in "
                    f"{other.colours[value]}; save label values as grey values 0, 1, 2, ..."
                )
            if value > 0 and not any(colour):
                raise DataError(
                    f"{mask.file} shows value {value} in black, though background is value 0; save label values as "
                    "grey values 0, 1, 2, ..."
                )


def _pixels(masks: Sequence[_Mask]) -> Counter[int]:
    """Pixels of all masks per stored value."""
    pixels: Counter[int] = Counter()
    for mask in masks:
        pixels.update(mask.counts)
    return pixels


def _require_labels(pixels: Counter[int], masks: Sequence[_Mask]) -> None:
    """Raise DataError when all pixels of all masks hold one value."""
    if len(pixels) == 1:
        value = next(iter(pixels))
        folder = masks[0].file.parent
        what = "no mask holds a label" if value == 0 else "the masks hold no background"
        raise DataError(
            f"{folder}: {what}, every pixel of all {len(masks)} files is {value}; export the masks again, or move the "
            "folder away to go without labels."
        )


def _require_black_and_white(masks: Sequence[_Mask], white: int, pool: ThreadPoolExecutor) -> None:
    """Raise DataError unless each mask is bright on dark, with values in between only along edges."""
    jpegs = [mask for mask in masks if mask.is_jpeg]
    if len(jpegs) == len(masks) and all(mask.brightest <= JPEG_WHITE / 2 for mask in jpegs):
        raise DataError(
            f"{jpegs[0].file}: JPEG cannot keep label numbers (no JPEG mask has a value above {JPEG_WHITE / 2:g}); "
            "save the masks as PNG with 0, 1, 2, ..., or as 0 and 255."
        )
    for mask in masks:
        if mask.brightest and not white / 2 < mask.brightest <= white:
            raise DataError(
                f"{mask.file} holds label numbers up to {mask.brightest}, in other masks {white} is white; save all "
                "masks in one way."
            )
    between = sorted({value for mask in masks if not mask.is_jpeg for value in mask.counts} - {0, white})
    listed = _listed([0, *between, white])
    if len(between) == 1:
        holder = next(mask for mask in masks if not mask.is_jpeg and between[0] in mask.counts)
        raise _third_value(holder.file, between[0], white, listed)
    unclean = [mask for mask in masks if mask.is_jpeg or set(mask.counts) - {0, white}]
    for mask, value in zip(unclean, pool.map(lambda mask: _value_of_an_area(mask, white), unclean), strict=True):
        if value is not None:
            raise _third_value(mask.file, value, white, _listed(sorted(mask.counts)) if mask.is_jpeg else listed)
    middle, bright = _shares(masks, white)
    if middle > MOST_BETWEEN or middle > bright:
        worst = max(masks, key=lambda mask: _shares([mask], white)[0])
        raise DataError(
            f"{worst.file} is no mask of black and white: in all masks {_percent(middle)} of the pixels lie in the "
            f"middle of 0 to {white} and {_percent(bright)} near {white}; save masks as 0 and {white}, or labels as 0, "
            "1, 2, ..."
        )


def _third_value(file: Path, value: int, white: int, listed: str) -> DataError:
    return DataError(
        f"{file} holds value {value} beside {white} (all values: {listed}), so that {white} may be a label or mark "
        "pixels to ignore; save labels as 0, 1, 2, ... (not as JPEG) with ignored pixels as 0, or one foreground as 0 "
        f"and {white}."
    )


def _value_of_an_area(mask: _Mask, white: int) -> int | None:
    """A value between black and white that fills an area of the mask, or None."""
    margin, noise = (JPEG_MARGIN, JPEG_NOISE) if mask.is_jpeg else (0, 0)
    values = read_mask(mask.file).astype(np.float32)
    low, high = ndimage.minimum_filter(values, AREA), ndimage.maximum_filter(values, AREA)
    area = (low > margin) & (high < white - margin) & (high - low <= noise)
    return int(values[area][0]) if area.any() else None


def _shares(masks: Sequence[_Mask], white: int) -> tuple[float, float]:
    """Shares of pixels in the middle half of the scale and in its highest quarter."""
    pixels = _pixels(masks)
    middle = sum(count for value, count in pixels.items() if white / 4 <= value <= 3 * white / 4)
    bright = sum(count for value, count in pixels.items() if value > 3 * white / 4)
    return middle / pixels.total(), bright / pixels.total()


def _black_and_white(masks: Sequence[_Mask], white: int) -> Encoding:
    """The encoding of masks of black and white, cut at half of the scale."""
    pixels = _pixels(masks)
    bright = sum(count for value, count in pixels.items() if value > white / 2)
    between = sum(count for value, count in pixels.items() if 0 < value < white)
    unclean = sum(bool(set(mask.counts) - {0, white}) for mask in masks)
    names = ("background", "foreground")
    text = (
        f"{_text([pixels.total() - bright, bright], (0, white), names)}; cut at half of the scale; {unclean} of "
        f"{len(masks)} masks have values in between ({_percent(between / pixels.total())} of pixels)"
    )
    return Encoding((0, white), white / 2, names, text)


def _text(counts: Sequence[int], values: Sequence[int], names: Sequence[str]) -> str:
    """ "stored value -> label: 0 -> background (97.1 % of pixels), 5 -> label 5 (1.9 %)" """
    shares = [_percent(count / sum(counts)) for count in counts]
    first, *others = zip(values, names, shares, strict=True)
    parts = ["{} -> {} ({} of pixels)".format(*first), *("{} -> {} ({})".format(*other) for other in others)]
    return f"stored value -> label: {', '.join(parts)}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _listed(values: Sequence[int]) -> str:
    """The first values and the last: "0, 1, 2, ..., 255"."""
    shown = [*map(str, values)] if len(values) <= SHOWN else [*map(str, values[: SHOWN - 1]), "...", str(values[-1])]
    return ", ".join(shown)
