"""A look at a data source before anything runs on it: what was found, how it was read, and twelve slices.

usage: medsynth inspect DATA
"""

from __future__ import annotations

import os
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np

from ..data import registry
from ..data.paths import absolute
from ..data.slices import DataError, SliceSet
from ..plots import show_grid
from . import options, source
from .given_test import without_leaks

SIDE = 128  # pixels of the slices that are shown
PER_SUBJECT = 8  # slices read of each subject at most
SHOWN = 12


def lines(slices: SliceSet) -> list[str]:
    """What was read, one line per topic, ready to print."""
    described = slices.describe()
    found = [
        f"{len(slices)} slices of {len(slices.unique_subjects())} subjects",
        f"channels: {', '.join(slices.channels)}",
        f"pixel size at {slices.size} x {slices.size} pixels: {slices.spacing[0]:.3g} mm",
    ]
    for name, title in (
        ("pixels_percent", "percent of the pixels"),
        ("slices_with_label_percent", "percent of the slices with"),
        ("class_counts", "slices per class"),
    ):
        if name in described:
            found.append(f"{title}: " + ", ".join(f"{key} {value}" for key, value in described[name].items()))
    return found + [f"{topic}: {text}" for topic, text in slices.processing.items()]


def picture(slices: SliceSet, seed: int) -> plt.Figure:
    """SHOWN slices [C, H, W] of as many subjects, chosen at random, with the outlines of their labels."""
    rng = np.random.default_rng(seed)
    subjects = rng.permutation(slices.unique_subjects())
    rows = [int(rng.choice(np.flatnonzero(slices.subjects == subject))) for subject in subjects[:SHOWN]]
    rows += rng.permutation(np.setdiff1d(np.arange(len(slices)), rows))[: SHOWN - len(rows)].tolist()
    names = [str(slices.subjects[row])[-18:] for row in rows]
    if slices.classes is not None:
        names = [f"{name}: {slices.class_names[slices.classes[row]]}" for name, row in zip(names, rows, strict=True)]
    labels = slices.labels[rows] if slices.labels is not None else None
    title = f"{slices.source}: {len(rows)} slices at random, {slices.channels[-1]}"
    figure = show_grid(slices.images[rows], labels, channel=-1, columns=4, title=title, label_names=slices.label_names)
    for ax, name in zip(figure.axes, names, strict=False):
        ax.set_title(name, fontsize=6)
    return figure


def main(arguments: list[str] | None = None) -> int:
    asked = options.inspect().parse_args(arguments)
    plt.switch_backend("agg")
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            slices = registry.load(
                asked.data,
                image_size=SIDE,
                subjects=asked.subjects,
                slices_per_subject=PER_SUBJECT,
                seed=asked.seed,
                workers=os.cpu_count() or 1,
                progress=source.shown("data", "cases"),
            )
            slices = without_leaks(slices)
        file = absolute(str(asked.picture or f"inspect-{registry.key(asked.data)}.png"))
    except (DataError, ValueError) as error:
        print(f"{asked.data}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or asked.data}: {error.strerror}; check that you may read it.", file=sys.stderr)
        return 1
    try:
        picture(slices, asked.seed).savefig(file, dpi=150, bbox_inches="tight")
    except ValueError as error:  # an ending that names no format of pictures
        print(f"{file}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or file}: {error.strerror}; choose another file by --picture.", file=sys.stderr)
        return 1
    for line in [*lines(slices), *(str(one.message) for one in heard if issubclass(one.category, UserWarning))]:
        print(line)
    print(f"look at {file}: are the outlines where they should be, and the right way up?")
    return 0


if __name__ == "__main__":
    sys.exit(main())
