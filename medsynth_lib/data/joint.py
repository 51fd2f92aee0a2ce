"""Image and label in one tensor: how all generators of this library learn their joint distribution.

Akbar et al. (2024) store the annotation in ONE grey channel (0, 51, 102, 204) and recover it with fixed thresholds. A
pixel on the blurred border between labels 0 and 3 then passes through the values of 1 and 2, so a thin rim of wrong
tissue appears wherever a generator is uncertain. Here each label has its own channel in {-1, 1} and a pixel gets the
label of the largest one (argmax), so blurring cannot produce a third label between two. Image classes (data without
masks) become constant label maps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .slices import SliceSet

# Label k has intensity k * 51 (of 255) in the single annotation channel of Akbar et al.: labels 0, 1, 2, 4 of BraTS
CODED_VALUES = (0, 1, 2, 4)


@dataclass(frozen=True)
class Shape:
    """The shape of a generator's output: C image channels, K label values (0 = no labels), size x size pixels."""

    channels: int
    labels: int
    size: int

    @property
    def joint(self) -> int:
        """Channels of image and labels together."""
        return self.channels + self.labels


def shape_of(slices: SliceSet) -> Shape:
    """The `Shape` of a set; classes count as labels where there are no masks."""
    labels = len(slices.label_names) if slices.labels is not None else len(slices.class_names)
    return Shape(slices.images.shape[1], labels, slices.size)


def tensors_of(slices: SliceSet) -> dict[str, Tensor]:
    """{"images": float32 [N, C, H, W], "labels": uint8 [N, H, W]} for `fit`; labels are 0 for data without masks."""
    if slices.labels is not None:
        labels = np.array(slices.labels)
    else:
        plane = np.zeros(len(slices), np.uint8) if slices.classes is None else slices.classes.astype(np.uint8)
        labels = np.broadcast_to(plane[:, None, None], (len(slices), slices.size, slices.size)).copy()
    return {"images": torch.from_numpy(np.array(slices.images)), "labels": torch.from_numpy(labels)}


def encode(images: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Joint image [B, C + K, H, W] in [-1, 1] from images [B, C, H, W] and labels [B, H, W]; K = `n_labels`."""
    if n_labels == 0:
        return images
    planes = images.new_full((len(images), n_labels, *images.shape[2:]), -1.0)
    return torch.cat([images, planes.scatter_(1, labels[:, None].long(), 1.0)], dim=1)


def decode(joint: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Images float32 [B, C, H, W] in [-1, 1] and labels uint8 [B, H, W] from a joint image [B, C + K, H, W]."""
    images = joint[:, :channels].float().clamp(-1, 1)
    if joint.shape[1] == channels:
        return images, torch.zeros(joint.shape[0], *joint.shape[2:], dtype=torch.uint8, device=joint.device)
    return images, joint[:, channels:].argmax(dim=1).to(torch.uint8)


def decode_coded_channel(coded: Tensor) -> Tensor:
    """Labels uint8 [B, H, W] from one grey channel [B, H, W] in [-1, 1], by the thresholds of Akbar et al.

    They threshold the 8-bit intensity x at x * 5 / 255 = 0.5, 1.5 and 3. Used for the comparison in notebook 00.
    """
    value = (coded + 1) / 2 * 5
    return ((value > 0.5).to(torch.uint8) + (value > 1.5) + (value > 3.0)).to(torch.uint8)


def to_slices(images: np.ndarray | Tensor, labels: np.ndarray | Tensor, like: SliceSet, generator: str) -> SliceSet:
    """A synthetic SliceSet of images [N, C, H, W] and labels [N, H, W], with the metadata of `like`.

    Each slice is a synthetic subject of its own.
    """
    n, images, labels = len(images), np.asarray(images), np.asarray(labels)
    majority = None
    if like.classes is not None and like.labels is None:
        majority = np.array([np.bincount(plane.ravel()).argmax() for plane in labels], dtype=np.int64)
    return replace(
        like,
        images=images.astype(np.float32, copy=False),
        labels=labels if like.labels is not None else None,
        classes=majority,
        class_names=() if majority is None else like.class_names,
        subjects=np.array([f"{generator}-{i:06d}" for i in range(n)]),
        levels=np.zeros(n, dtype=np.int64),
        source=f"{like.source} / {generator}",
        intended_use="synthetic; research and teaching only, not for diagnosis",
        processing={"generator": generator},
        facts={},
    )
