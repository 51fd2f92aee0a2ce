"""Translators: from one look to another (unpaired), or from a mask to an image (paired). One file = one method."""

from __future__ import annotations

from pathlib import Path

from ..published import load_published

# name -> (module, class)
TRANSLATORS = {
    "cyclegan": ("cyclegan", "CycleGAN"),
    "attention_cyclegan": ("attention", "AttentionCycleGAN"),
    "pix2pix": ("pix2pix", "Pix2Pix"),
    "spade": ("spade", "SPADE"),
    "mask_diffusion": ("mask_diffusion", "MaskDiffusion"),
}


def load_translator(folder: Path, device="cpu"):
    """The published translator in `folder`, ready to use; see `load_published` for what it raises."""
    return load_published(folder, TRANSLATORS, __package__, device)
