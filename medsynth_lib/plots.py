"""Plots: all images with the same intensity window [-1, 1], labels as coloured outlines or maps.

Images and labels may be arrays or tensors, on any device, with or without a gradient.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_hex, to_rgb
from numpy.typing import ArrayLike
from torch import Tensor

from .data.slices import SliceSet

# Background transparent, label 1 orange, 2 blue, 3 green, ...: the colour-blind safe palette of Okabe & Ito
BASE_COLOURS = ("#00000000", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#56b4e9")
LEGEND_COLUMNS = 8


def distinct_colours(colours: tuple[str, ...], n: int, steps: int = 8) -> tuple[str, ...]:
    """n colours: `colours` (background first), then repeatedly the colour that is farthest from all chosen ones.

    The candidates are a grid of steps^3 RGB colours, without dark ones (label maps have a black background) and greys
    (outlines are drawn on grey images).
    """
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, steps)] * 3), axis=-1).reshape(-1, 3)
    grid, found = grid[(grid.max(axis=1) > 0.4) & (np.ptp(grid, axis=1) > 0.2)], list(colours)
    nearest = np.min([np.linalg.norm(grid - to_rgb(colour), axis=1) for colour in found[1:]], axis=0)
    while len(found) < n:
        chosen = grid[nearest.argmax()]
        found.append(to_hex(chosen))
        nearest = np.minimum(nearest, np.linalg.norm(grid - chosen, axis=1))
    return tuple(found)


LABEL_COLOURS = distinct_colours(BASE_COLOURS, 256)  # for every uint8 label
LABEL_MAP = ListedColormap(LABEL_COLOURS)


def as_array(values: ArrayLike | Tensor) -> np.ndarray:
    """An array, or a tensor on any device, as an array; tensors of floats become float32 (numpy has no bfloat16)."""
    if hasattr(values, "cpu"):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def show_image(ax: Axes, image: ArrayLike | Tensor, labels: ArrayLike | Tensor | None = None) -> None:
    """One channel [H, W] in [-1, 1], with the outlines of its labels [H, W]."""
    ax.imshow(as_array(image), vmin=-1, vmax=1, cmap="gray", interpolation="nearest")
    if labels is not None:
        outline_labels(ax, labels)
    ax.set_axis_off()


def outline_labels(ax: Axes, labels: ArrayLike | Tensor) -> None:
    """The outline of every label value above 0 in a map [H, W], in the label's colour."""
    labels = as_array(labels).astype(np.uint8)
    for value in np.unique(labels[labels > 0]):
        ax.contour(labels == value, levels=[0.5], colors=[LABEL_COLOURS[value]], linewidths=0.9)


def show_labels(ax: Axes, labels: ArrayLike | Tensor) -> None:
    """A label map [H, W] in the label colours on black."""
    labels = as_array(labels)
    ax.imshow(np.zeros_like(labels), cmap="gray", vmin=0, vmax=1)
    ax.imshow(labels, cmap=LABEL_MAP, vmin=0, vmax=len(LABEL_COLOURS) - 1, interpolation="nearest")
    ax.set_axis_off()


def show_slices(slices: SliceSet, index: Iterable[int] | None = None, title: str = "") -> plt.Figure:
    """One row per slice at `index` (default: the first six), one column per image channel, then the label map."""
    index = list(range(min(6, len(slices)))) if index is None else list(index)
    columns = len(slices.channels) + (slices.labels is not None)
    figure, axes = plt.subplots(
        len(index), columns, figsize=(1.7 * columns, 1.7 * len(index)), squeeze=False, layout="constrained"
    )
    for row, i in zip(axes, index, strict=True):
        for c, ax in enumerate(row[: len(slices.channels)]):
            show_image(ax, slices.images[i, c])
        if slices.labels is not None:
            show_labels(row[-1], slices.labels[i])
    names = [*slices.channels, *(["label"] if slices.labels is not None else [])]
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name, fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def show_grid(
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor | None = None,
    channel: int = 0,
    columns: int = 8,
    title: str = "",
    label_names: Sequence[str] = (),
) -> plt.Figure:
    """One channel of images [N, C, H, W] in a grid, with label outlines if labels [N, H, W] are given.

    With `label_names` (background first), a legend of the outlines is added below.
    """
    images = as_array(images)
    labels = None if labels is None else as_array(labels)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.25 * columns, 1.25 * rows), squeeze=False, layout="constrained"
    )
    for i, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if i < len(images):
            show_image(ax, images[i, channel], None if labels is None else labels[i])
    if title:
        figure.suptitle(title, fontsize=11)
    _legend(figure, label_names, loc="outside lower center")
    return figure


def show_side_by_side(sets: dict[str, SliceSet], count: int = 8, channel: int = -1, seed: int = 0) -> plt.Figure:
    """One row per set with one channel of `count` randomly sampled slices and their label outlines, and a legend."""
    figure, axes = plt.subplots(
        len(sets), count, figsize=(1.3 * count + 1, 1.35 * len(sets)), squeeze=False, layout="constrained"
    )
    for row, (name, slices) in zip(axes, sets.items(), strict=True):
        sampled = np.random.default_rng(seed).choice(len(slices), size=count, replace=len(slices) < count)
        for ax, i in zip(row, sampled, strict=True):
            show_image(ax, slices.images[i, channel], None if slices.labels is None else slices.labels[i])
        row[0].text(-0.08, 0.5, name, transform=row[0].transAxes, ha="right", va="center", fontsize=10)
    label_names = next((s.label_names for s in sets.values() if s.labels is not None), ())
    _legend(figure, label_names, loc="outside lower center")
    return figure


def label_legend(slices: SliceSet) -> plt.Figure:
    """A figure with only the legend of the label colours."""
    rows = -(-(len(slices.label_names) - 1) // LEGEND_COLUMNS)
    figure = plt.figure(figsize=(6, 0.2 + 0.2 * max(1, rows)))
    _legend(figure, slices.label_names, loc="center")
    return figure


def _legend(figure: plt.Figure, label_names: Sequence[str], loc: str) -> None:
    """A legend of the label colours, without the background."""
    squares = [plt.Line2D([], [], ls="", marker="s", color=colour) for colour in LABEL_COLOURS[1 : len(label_names)]]
    if squares:
        columns = min(len(squares), LEGEND_COLUMNS)
        figure.legend(squares, label_names[1:], ncol=columns, frameon=False, loc=loc, fontsize=9)


def read_lines(path: Path) -> list[dict]:
    """The records of a JSON Lines file (stats.jsonl, monitor.jsonl)."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def show_training(folder: Path, names: list[str] | None = None) -> plt.Figure:
    """Loss curves from the stats.jsonl in `folder`: one panel per loss (`names`, default all) against training images.

    The unit of the x axis is 1,000 images (kimg).
    """
    rows = read_lines(Path(folder) / "stats.jsonl")
    names = names or [name for name in rows[0] if name not in ("step", "images", "seconds")]
    figure, axes = plt.subplots(1, len(names), figsize=(3 * len(names), 2.3), squeeze=False, layout="constrained")
    for ax, name in zip(axes[0], names, strict=True):
        ax.plot([row["images"] / 1000 for row in rows], [row[name] for row in rows], lw=1.3)
        ax.set(title=name, xlabel="training images (thousands)")
    return figure


def show_intervals(
    rows: dict[str, dict],
    reference: str | None = None,
    band: tuple[float, float] | None = None,
    label: str = "",
) -> plt.Figure:
    """Means with 95 % intervals, one per line: {name: {"mean", "ci95": [low, high]}}.

    A vertical line marks the mean of the row `reference`, shading the interval `band`; `label` is that of the x axis.
    """
    figure, ax = plt.subplots(figsize=(7, 0.45 * len(rows) + 1), layout="constrained")
    for y, (name, value) in enumerate(rows.items()):
        low, high = value["ci95"]
        colour = "black" if name == reference else "#0072b2"
        ax.plot([low, high], [y, y], color=colour, lw=2)
        ax.plot(value["mean"], y, "o", color=colour)
        ax.annotate(
            f"{value['mean']:.3f}", (value["mean"], y), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    if reference:
        ax.axvline(rows[reference]["mean"], color="grey", lw=0.8, ls="--")
    if band:
        ax.axvspan(*band, color="#e69f00", alpha=0.15, lw=0)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.set_xlabel(label)
    return figure


def show_curve(ax: Axes, rows: dict[str, dict], style: str = "o-", label: str = "") -> None:
    """Means with 95 % intervals over the rows' names: {x: {"mean", "ci95": [low, high]}}, in matplotlib `style`."""
    means = np.array([row["mean"] for row in rows.values()])
    low, high = np.array([row["ci95"] for row in rows.values()]).T
    ax.errorbar(list(rows), means, [means - low, high - means], fmt=style, capsize=3, label=label)
