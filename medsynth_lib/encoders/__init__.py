"""Encoders: pictures to features that are learned. One is trained here without labels, others come from local files."""

from __future__ import annotations

from pathlib import Path

from ..published import load_published

ENCODERS = {"simclr": ("simclr", "SimCLR")}


def load_encoder(folder: Path, device="cpu"):
    """The encoder that was trained in `folder` (safetensors and JSON); see `load_published` for what it raises."""
    return load_published(folder, ENCODERS, __package__, device)
