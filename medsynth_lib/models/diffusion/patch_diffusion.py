"""Diffusion on tiles, so that training needs the memory of a tile and not of an image (Khadra & Tuerkbey 2024).

The network sees a tile, its position (two channels of coordinates) and a thumbnail of the whole noisy image. Training
cuts one random tile from every noisy image. In sampling, F is evaluated on all tiles of an image at every noise level
and averaged where they overlap (Bar-Tal et al. 2023, MultiDiffusion): since D is linear in F, averaging F averages D,
and any solver may be used on whole images.

The thumbnail makes distant tiles consistent with each other. Averaging n x n pixels divides their noise by n, so it
shows the coarse shape at noise levels where a tile shows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data import joint
from .edm import EDM, Denoiser, EDMConfig, append_dims
from .unet import FoldedUNet

THUMBNAIL = 8  # pixels per side


class TileNet(nn.Module):
    """F for tiles [B, C, t, t], level [B], place [B, 2, t, t] in [-1, 1] and thumbnail [B, C, 8, 8]."""

    def __init__(self, channels: int, tile: int, patch: int, widths: tuple[int, ...], layers: int, attention: bool):
        super().__init__()
        self.unet = FoldedUNet(channels, tile, patch, widths, layers, attention, given=2 + channels)

    def forward(self, x: Tensor, level: Tensor, place: Tensor, thumbnail: Tensor) -> Tensor:
        # Read at the tile's position, so that each pixel is conditioned on the coarse image at this pixel.
        around = F.grid_sample(thumbnail, place.flip(1).permute(0, 2, 3, 1), align_corners=False, padding_mode="border")
        return self.unet(x, level, image=torch.cat([place, around.to(x.dtype)], dim=1))


class Assembled(nn.Module):
    """F for whole images [B, C, H, W] from a network of tiles that lie `stride` pixels apart.

    The weight of a tile falls linearly from its centre to its border, so that there are no steps. With stride = tile
    there is no overlap, and borders are visible as seams.
    """

    def __init__(self, net: nn.Module, tile: int, stride: int):
        super().__init__()
        self.net, self.tile, self.stride = net, tile, stride

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        size, tile = x.shape[-1], self.tile
        ramp = 0.5 * tile - (torch.arange(tile, device=x.device) + 0.5 - 0.5 * tile).abs()
        window = ramp[:, None] * ramp
        everywhere, thumbnail = places(size, x.device), F.adaptive_avg_pool2d(x, THUMBNAIL)
        total, weight = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        for top in corners(size, tile, self.stride):
            for left in corners(size, tile, self.stride):
                here = (..., slice(top, top + tile), slice(left, left + tile))
                place = everywhere[here].expand(len(x), -1, -1, -1)
                total[here] += window * self.net(x[here], level, place, thumbnail)
                weight[here] += window
        return total / weight


def corners(size: int, tile: int, stride: int) -> list[int]:
    """First pixels of tiles that cover `size` pixels, `stride` apart; the last one ends at the border."""
    return sorted({*range(0, size - tile, stride), size - tile})


def places(size: int, device: torch.device | None = None) -> Tensor:
    """Row and column of every pixel's middle, from -1 to 1: [2, size, size]."""
    middle = (torch.arange(size, device=device) + 0.5) * (2 / size) - 1
    return torch.stack(torch.meshgrid(middle, middle, indexing="ij"))


@dataclass(frozen=True, kw_only=True)
class PatchDiffusionConfig(EDMConfig):
    tile: int = 32  # pixels, side of a tile

    def check(self) -> None:
        if self.tile > self.size or self.tile % self.patch:
            raise ValueError(
                f"tiles of {self.tile} pixels do not fit images of {self.size} or patches of {self.patch}; "
                "choose smaller tiles, of a multiple of the patch."
            )


class PatchDiffusion(EDM):
    """EDM of joint images, learned from tiles of `tile` x `tile` pixels, which are half a tile apart in sampling."""

    Config = PatchDiffusionConfig
    name = "patch_diffusion"

    def network(self) -> nn.Module:
        return TileNet(self.shape.joint, self.tile, *self.sizes)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """EDM's loss of one random tile per image: [B]. Noise and thumbnail are made of the whole image."""
        clean = joint.encode(batch["images"], batch["labels"], self.shape.labels)
        noisy, sigma = self.denoiser.noisy(clean)
        _, _, c_in = self.denoiser.coefficients(append_dims(sigma, noisy))
        thumbnails = F.adaptive_avg_pool2d(c_in * noisy, THUMBNAIL)
        device = clean.device
        first = torch.randint(0, self.shape.size - self.tile + 1, (len(clean), 2), device=device)
        pixels = first[:, :, None] + torch.arange(self.tile, device=device)  # rows and columns: [B, 2, tile]
        which = torch.arange(len(clean), device=device)[:, None, None]

        def cut(images: Tensor) -> Tensor:
            """One tile of each image, in one read: [B, C, H, W] -> [B, C, tile, tile]."""
            return images[which, :, pixels[:, 0, :, None], pixels[:, 1, None]].permute(0, 3, 1, 2).contiguous()

        place = cut(places(self.shape.size, device).expand(len(clean), -1, -1, -1))
        return self.denoiser.error(cut(clean), cut(noisy), sigma, place, thumbnails)

    def solve(self, noise: Tensor, steps: int, stride: int | None = None) -> Tensor:
        """Joint images from noise [n, C + K, H, W]; tiles lie `stride` pixels apart (default: half a tile)."""
        net = Assembled(self.denoiser.net, self.tile, stride or self.tile // 2)  # on the device of `noise`
        return Denoiser(net, self.sigma_data, prediction_type=self.prediction_type).to(noise.device).solve(noise, steps)
