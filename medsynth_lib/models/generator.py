"""What all generators share: the shape of the images and labels that they learn and generate."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.method import Config, Method
from ..data.joint import Shape


@dataclass(frozen=True)
class GeneratorConfig(Config):
    channels: int  # of the images
    labels: int  # label values, background included; 0: images only
    size: int  # pixels, height = width


class GeneratorMethod(Method):
    """A generator of images and labels, learned jointly (see `data.joint`)."""

    Config = GeneratorConfig

    @property
    def shape(self) -> Shape:
        """channels, labels and size."""
        return Shape(self.channels, self.labels, self.size)
