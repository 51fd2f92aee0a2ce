"""Image and label as one picture: how every generator here learns them jointly.

Akbar et al. (2024) code the annotation as ONE grey channel (0, 51, 102, 204) and cut it at fixed thresholds. A pixel
on the blurred border between 0 and 3 then passes through the values of 1 and 2, so a thin false rim of other tissue
appears wherever a generator is unsure. Here each label has its own channel in {-1, 1} and a pixel belongs to the
largest one (argmax): between two labels there is nothing else. Image classes (no mask) become constant label planes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .slices import SliceSet

# The grey levels of Akbar et al.'s single annotation channel, value k * 51 of 255 (labels 0, 1, 2 and 4 of BraTS)
CODED_LEVELS = (0, 1, 2, 4)


@dataclass(frozen=True)
class Shape:
    """What a generator must produce: C image channels, K label values (0 = none), size x size pixels."""

    channels: int
    labels: int
    size: int

    @property
    def joint(self) -> int:
        """Channels of the joint picture."""
        return self.channels + self.labels


def shape_of(slices: SliceSet) -> Shape:
    labels = len(slices.label_names) if slices.labels is not None else len(slices.class_names)
    return Shape(slices.images.shape[1], labels, slices.size)


def tensors_of(slices: SliceSet) -> dict[str, Tensor]:
    """{"images": float32 [N, C, H, W], "labels": uint8 [N, H, W]} for `fit`; labels are 0 where there are none."""
    if slices.labels is not None:
        labels = np.array(slices.labels)
    else:
        plane = np.zeros(len(slices), np.uint8) if slices.classes is None else slices.classes.astype(np.uint8)
        labels = np.broadcast_to(plane[:, None, None], (len(slices), slices.size, slices.size)).copy()
    return {"images": torch.from_numpy(np.array(slices.images)), "labels": torch.from_numpy(labels)}


def encode(images: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Joint picture [B, C + K, H, W] in [-1, 1] from images [B, C, H, W] and labels [B, H, W]."""
    if n_labels == 0:
        return images
    planes = images.new_full((len(images), n_labels, *images.shape[2:]), -1.0)
    return torch.cat([images, planes.scatter_(1, labels[:, None].long(), 1.0)], dim=1)


def decode(joint: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """images float32 [B, C, H, W] in [-1, 1] and labels uint8 [B, H, W] from a joint picture."""
    images = joint[:, :channels].float().clamp(-1, 1)
    if joint.shape[1] == channels:
        return images, torch.zeros(joint.shape[0], *joint.shape[2:], dtype=torch.uint8, device=joint.device)
    return images, joint[:, channels:].argmax(dim=1).to(torch.uint8)


def decode_coded_channel(coded: Tensor) -> Tensor:
    """Akbar et al.'s decoding of one grey channel [B, H, W] in [-1, 1] (x * 5 / 255 cut at 0.5, 1.5 and 3) to labels.

    Kept for the comparison in notebook 00.
    """
    value = (coded + 1) / 2 * 5
    return ((value > 0.5).to(torch.uint8) + (value > 1.5) + (value > 3.0)).to(torch.uint8)


def to_slices(images, labels, like: SliceSet, generator: str) -> SliceSet:
    """A synthetic SliceSet of images [N, C, H, W] and labels [N, H, W], with the metadata of `like`.

    Every slice is its own synthetic subject.
    """
    n, images, labels = len(images), np.asarray(images), np.asarray(labels)
    majority = None
    if like.classes is not None:
        majority = np.array([np.bincount(plane.ravel()).argmax() for plane in labels], dtype=np.int64)
    return replace(
        like,
        images=images.astype(np.float32, copy=False),
        labels=labels if like.labels is not None else None,
        classes=majority,
        subjects=np.array([f"{generator}-{i:06d}" for i in range(n)]),
        levels=np.zeros(n, dtype=np.int64),
        source=f"{like.source} / {generator}",
        intended_use="synthetic; research and teaching only, not for diagnosis",
        processing={"generator": generator},
    )
