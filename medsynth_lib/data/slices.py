"""The data structure of the whole library, labelled 2-D slices with their subjects, and the split by subject."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from . import stored
from .stored import ARRAYS

PARTS = ("gen_train", "holdout", "test")


class DataError(ValueError):
    """Invalid input data; the message names the file or field, the reason and the fix."""


@dataclass(frozen=True)
class SliceSet:
    """A set of 2-D slices with the metadata that generators, segmenters and metrics need.

    images      float32 [N, C, H, W] in [-1, 1]
    subjects    str [N], the (real or simulated) subject of each slice
    labels      uint8 [N, H, W] with 0 = background, or None
    classes     int64 [N], one class per image, or None
    levels      int64 [N], position of the slice in its volume
    channels    C names, e.g. ("T1", "T1ce", "T2", "FLAIR")
    label_names one name per label value, background first; () without labels
    class_names one name per class value; () without classes
    spacing     (row, column) pixel size in mm
    processing  what was done to the pixels (scaling, slice rule, warnings): text by topic
    facts       what is known of a subject beside its pixels ({subject: {name: value}}), e.g. scanner or kind of lesion
    set_aside   the subjects whom the source itself keeps for testing; () when it does not say

    Raises DataError when shapes, types or ranges do not agree.
    """

    images: np.ndarray
    subjects: np.ndarray
    labels: np.ndarray | None = None
    classes: np.ndarray | None = None
    levels: np.ndarray | None = None
    channels: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    spacing: tuple[float, float] = (1.0, 1.0)
    source: str = ""
    licence: str = ""
    intended_use: str = ""
    processing: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, str | float]] = field(default_factory=dict)
    set_aside: tuple[str, ...] = ()
    _hash: str | None = field(default=None, init=False, repr=False, compare=False)  # the stored hash, see `load`

    def __post_init__(self) -> None:
        n = len(self.images)
        object.__setattr__(self, "subjects", np.asarray(self.subjects, dtype=str))
        if self.levels is None:
            object.__setattr__(self, "levels", np.arange(n, dtype=np.int64))
        for name in ("channels", "label_names", "class_names", "spacing", "set_aside"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check(n)

    def _check(self, n: int) -> None:
        name = self.source or "slice set"
        if self.images.ndim != 4 or self.images.dtype != np.float32:
            raise DataError(
                f"{name}: images are {self.images.dtype} {self.images.shape}, "
                "expected float32 [N, C, H, W]; convert them first."
            )
        if n == 0:
            raise DataError(f"{name}: no slices are left; check the folder and the slice rule.")
        if len(self.channels) != self.images.shape[1]:
            raise DataError(
                f"{name}: {self.images.shape[1]} image channels but {len(self.channels)} "
                "channel names; name every channel."
            )
        if len(self.subjects) != n or len(self.levels) != n:
            raise DataError(f"{name}: {n} images but {len(self.subjects)} subject ids; give one per image.")
        low, high = float(self.images.min()), float(self.images.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DataError(f"{name}: images hold NaN or infinite values; clean the source files.")
        if low < -1.0001 or high > 1.0001:
            raise DataError(f"{name}: image values span [{low:.3g}, {high:.3g}], expected [-1, 1]; rescale them.")
        if self.labels is not None:
            if self.labels.shape != (n, *self.images.shape[2:]) or self.labels.dtype != np.uint8:
                raise DataError(
                    f"{name}: labels are {self.labels.dtype} {self.labels.shape}, expected uint8 "
                    f"{(n, *self.images.shape[2:])}; make them match the images."
                )
            if int(self.labels.max()) >= len(self.label_names):
                raise DataError(
                    f"{name}: label value {int(self.labels.max())} has no name among "
                    f"{self.label_names}; name it or map it to a known label."
                )
        if self.classes is not None:
            if self.classes.shape != (n,) or not np.issubdtype(self.classes.dtype, np.integer):
                raise DataError(f"{name}: classes must be {n} whole numbers, one per image.")
            if self.classes.min() < 0 or self.classes.max() >= len(self.class_names):
                raise DataError(f"{name}: a class value has no name among {self.class_names}; name every class.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Height (= width) in pixels."""
        return self.images.shape[-1]

    def unique_subjects(self) -> list[str]:
        """The different subjects [S], sorted."""
        return sorted(set(self.subjects.tolist()))

    def select(self, index: np.ndarray | slice) -> SliceSet:
        """The slices at `index`: a boolean mask [N], integer indices or a Python slice."""
        picked = {k: getattr(self, k)[index] for k in (*ARRAYS, "subjects", "levels") if getattr(self, k) is not None}
        left = set(picked["subjects"].tolist())
        facts = {name: known for name, known in self.facts.items() if name in left}
        return replace(self, **picked, facts=facts, set_aside=tuple(s for s in self.set_aside if s in left))

    def of_subjects(self, subjects: Iterable[str]) -> SliceSet:
        """All slices of the named subjects, in stored order."""
        return self.select(np.isin(self.subjects, np.asarray(list(subjects), dtype=str)))

    def hash(self) -> str:
        """The first 16 hex digits of the sha256 of pixels, labels, classes, subjects and slice positions.

        A loaded set returns its stored hash, so its arrays must not be changed.
        """
        return self._hash or self._digest()

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for name in (*ARRAYS, "levels"):
            value = getattr(self, name)
            if value is not None:
                digest.update(f"{name}{value.shape}{value.dtype}".encode())
                digest.update(np.ascontiguousarray(value).data)
        digest.update("\n".join(self.subjects.tolist()).encode())
        return digest.hexdigest()[:16]

    def describe(self) -> dict:
        """Numbers of slices, subjects, labels and classes, ready to print or to write as JSON."""
        out = {
            "source": self.source,
            "slices": len(self),
            "subjects": len(self.unique_subjects()),
            "shape": list(self.images.shape[1:]),
            "channels": list(self.channels),
            "spacing_mm": list(self.spacing),
        }
        if self.labels is not None:
            out["slices_with_label_percent"] = {
                name: round(100 * float((self.labels == k).any(axis=(1, 2)).mean()), 1)
                for k, name in enumerate(self.label_names)
            }
            out["pixels_percent"] = {
                name: round(100 * float((self.labels == k).mean()), 3) for k, name in enumerate(self.label_names)
            }
        if self.classes is not None:
            out["class_counts"] = {name: int((self.classes == k).sum()) for k, name in enumerate(self.class_names)}
        return out

    def save(self, folder: Path) -> Path:
        """Write the set to `folder` (format: see `stored`) and return it; an interrupted call leaves no such folder.

        Raises CheckpointError when the disk is full or the folder cannot be written.
        """
        folder = Path(folder)
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        return self.save_remaining(part, folder)

    def save_remaining(self, part: Path, folder: Path, written: tuple[str, ...] = ()) -> Path:
        """Write to `part` all but the arrays named in `written`, which are there as `.npy`; rename it to `folder`.

        Raises CheckpointError when the disk is full or the folder cannot be written.
        """
        skip = {*ARRAYS, "subjects", "levels", "_hash"}
        meta = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in skip}
        try:
            for name in ARRAYS:
                if getattr(self, name) is not None and name not in written:
                    np.save(part / f"{name}.npy", getattr(self, name))
            stored.describe(part, self.subjects.tolist(), self.levels.tolist(), meta, self._digest())
            stored.put_in_place(part, folder)
        except OSError as error:
            from ..core.checkpoints import CheckpointError  # imports torch

            raise CheckpointError(
                f"{folder} could not be written ({error}); free space, or set MEDSYNTH_RUNS to a folder elsewhere."
            ) from error
        return folder

    @classmethod
    def load(cls, folder: Path) -> SliceSet:
        """Read a folder written by `save`; arrays are memory-mapped.

        Raises DataError when the folder is missing, incomplete or corrupt.
        """
        folder = Path(folder)
        if not (folder / stored.RECORD).is_file():
            raise DataError(f"{folder} holds no dataset.json; run the notebook that writes this slice set first.")
        try:
            content, stored_hash = stored.read(folder)
            slices = cls(**content)
        except DataError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} is not a readable slice set ({error}); delete it and make it again.") from error
        object.__setattr__(slices, "_hash", stored_hash)
        return slices


def hash_of(folder: Path) -> str:
    """`SliceSet.load(folder).hash()`, without reading the arrays if their files are unchanged since they were saved."""
    return stored.stored_hash(Path(folder)) or SliceSet.load(folder).hash()


def concatenate(first: SliceSet, second: SliceSet) -> SliceSet:
    """Both sets as one, with the metadata of `first`; DataError unless channels, labels and size agree.

    Classes must agree where there are no labels; beside labels they are kept if both sets have the same ones.
    """
    kinds = [
        (s.channels, s.label_names, s.size, s.labels is None, s.class_names if s.labels is None else ())
        for s in (first, second)
    ]
    if kinds[0] != kinds[1]:
        raise DataError(
            f"{first.source} and {second.source} differ in channels, labels, classes or size; make them agree first."
        )
    if first.class_names != second.class_names or (first.classes is None) != (second.classes is None):
        first = replace(first, classes=None, class_names=())
    joined = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in (*ARRAYS, "subjects", "levels")
        if getattr(first, name) is not None
    }
    set_aside = tuple(dict.fromkeys((*first.set_aside, *second.set_aside)))
    return replace(first, **joined, facts={**first.facts, **second.facts}, set_aside=set_aside)


@dataclass(frozen=True)
class Split:
    """Subject ids of the three parts of a data set.

    gen_train         train generators and segmenters
    holdout           real reference of all metrics, and of checkpoint selection
    test              used only for the final evaluation of segmenters
    seed              of the random split
    duplicate_images  number of images that repeat an earlier one bit by bit
    """

    gen_train: tuple[str, ...]
    holdout: tuple[str, ...]
    test: tuple[str, ...]
    seed: int
    duplicate_images: int = 0

    def hash(self) -> str:
        """The first 16 hex digits of the sha256 of the subjects in each part."""
        text = json.dumps([sorted(getattr(self, part)) for part in PARTS])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def part(self, slices: SliceSet, name: str) -> SliceSet:
        """The slices of one part: "gen_train", "holdout" or "test"."""
        if name not in PARTS:
            raise DataError(f"unknown part {name!r}; known parts: {', '.join(PARTS)}.")
        return slices.of_subjects(getattr(self, name))

    def save(self, path: Path) -> None:
        """Write the split and its hash as JSON."""
        record = {part: list(getattr(self, part)) for part in PARTS}
        record |= {"seed": self.seed, "duplicate_images": self.duplicate_images, "hash": self.hash()}
        Path(path).write_text(json.dumps(record, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a split; DataError when the file is unreadable or its hash shows that it was edited."""
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            parts = {part: tuple(record[part]) for part in PARTS}
            split = cls(**parts, seed=record["seed"], duplicate_images=record["duplicate_images"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path} is not a readable split ({error}); run 00_data again.") from error
        if split.hash() != record.get("hash"):
            raise DataError(f"{path} was changed after it was written (hash differs); run 00_data again.")
        return split


def split_subjects(slices: SliceSet, seed: int, fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)) -> Split:
    """A random split of the subjects into the fractions of (gen_train, holdout, test).

    Where the source sets subjects aside for testing (`set_aside`), they are the test part, and the others are split
    into gen_train and holdout. Subjects that share a bit-identical image go into the same part, so that no image occurs
    in two parts; `duplicate_images` counts the repeated images. Raises DataError when there are fewer than three
    independent groups of subjects (two beside a given test part).
    """
    groups, duplicates = _linked_subjects(slices)
    given = [group for group in groups if not set(slices.set_aside).isdisjoint(group)]
    free = [group for group in groups if group not in given]
    if len(free) < 3 - bool(given):
        raise DataError(
            f"{slices.source}: {len(free)} independent subject(s){' beside those for testing' if given else ''}, but "
            f"gen_train{'' if given else ', holdout'} and {'holdout' if given else 'test'} need at least one each; add "
            "subjects or name them in subjects.csv."
        )
    shares = (fractions[1] / (1 - fractions[2]),) if given else fractions[1:]
    order = np.random.default_rng(seed).permutation(len(free))
    held = [max(1, round(share * len(free))) for share in shares]
    while len(free) - sum(held) < 1:
        held[held.index(max(held))] -= 1
    ends = np.cumsum([len(free) - sum(held), *held])[:-1]
    parts = [[free[k] for k in part] for part in np.split(order, ends)] + ([given] if given else [])
    names = [tuple(sorted(s for group in part for s in group)) for part in parts]
    return Split(*names, seed=seed, duplicate_images=duplicates)


def _linked_subjects(slices: SliceSet) -> tuple[list[list[str]], int]:
    """Groups of subjects connected by identical images, and the number of repeated images."""
    parent = {s: s for s in slices.unique_subjects()}

    def root(s: str) -> str:
        while parent[s] != s:
            s = parent[s]
        return s

    first_owner: dict[bytes, str] = {}
    duplicates = 0
    for image, subject in zip(slices.images, slices.subjects.tolist(), strict=True):
        # Constant images (empty slices) are equal between subjects without being duplicates.
        if image.min() == image.max():
            continue
        key = hashlib.sha256(np.ascontiguousarray(image).data).digest()
        if key in first_owner:
            duplicates += 1
            parent[root(subject)] = root(first_owner[key])
        else:
            first_owner[key] = subject
    groups: dict[str, list[str]] = {}
    for subject in parent:
        groups.setdefault(root(subject), []).append(subject)
    return [sorted(group) for _, group in sorted(groups.items())], duplicates
