"""A training that stops itself with SIGKILL at a given step; run as a program by test_training.py.

usage: python killed_training.py METHOD FOLDER KILL_AT   (KILL_AT = 0: run to the end)
"""

import os
import signal
import sys

import torch

import medsynth_lib as ms  # imports a method's own library (MONAI, diffusers) only when the method is named
from medsynth_lib.segmenters.augment import augment

STEPS, BATCH = 12, 4
VAE = {"channels": 2, "labels": 3, "size": 16, "width": 8, "latent": 4}
METHODS = {
    "vae": lambda: ms.VAE(2, 3, 16, width=8, latent=4),
    "dcgan": lambda: ms.DCGAN(2, 3, 16, width=8, latent=4),
    "progan": lambda: ms.ProGAN(2, 3, 16, width=8, most=8, latent=4),
    "stylegan1": lambda: ms.StyleGAN1(2, 3, 16, width=8, most=8, latent=4, ada_images=100),
    "stylegan2": lambda: ms.StyleGAN2(2, 3, 16, width=8, most=8, latent=4, ada_images=100, path_length=True),
    "stylegan3": lambda: ms.StyleGAN3(2, 3, 16, width=8, most=8, latent=4, depth=3, margin=4, view="diffaugment"),
    "ddpm": lambda: ms.DDPM(2, 3, 16, patch=2, widths=(8, 16), layers=1),
    "edm": lambda: ms.EDM(2, 3, 16, 0.7, patch=2, widths=(8, 16), layers=1),
    "latent_diffusion": lambda: ms.LatentDiffusion(2, 3, 16, VAE, width=16, blocks=1),
    "autoencoder": lambda: ms.Autoencoder(2, 3, 16, width=8, latent=2),
    "unet": lambda: ms.UNetSegmenter(2, 3, (8, 16)),
    "cyclegan": lambda: ms.CycleGAN(1, 16, width=4, blocks=1, levels=1, pool=9),
    "attention_cyclegan": lambda: ms.AttentionCycleGAN(1, 16, width=4, blocks=1, patch=2, levels=1, pool=9),
    "pix2pix": lambda: ms.Pix2Pix(2, 3, 16, width=4, levels=3),
    "spade": lambda: ms.SPADE(2, 3, 16, width=4, levels=2),
}


def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(10, 2, 16, 16, generator=generator) * 2 - 1
    labels = (images[:, 0] > 0).to(torch.uint8) + (images[:, 1] > 0.5)
    latents = {"mean": images[:, 0, 0, :4], "log_variance": images[:, 1, 0, :4]}
    return {"images": images, "labels": labels, "a": images[:, :1], "b": images[:, 1:]} | latents


def main(name: str, folder: str, kill_at: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    method = METHODS[name]()
    step, calls = method.step, [0]

    def counted(batch, optimisers, fraction):
        calls[0] += 1
        if calls[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(batch, optimisers, fraction)

    method.step = counted
    ms.fit(
        method,
        data(),
        folder,
        images=STEPS * BATCH,
        batch_size=BATCH,
        seed=3,
        ema_images=20,
        other_emas=(5.0,) if name == "ddpm" else (),
        augment=augment if name == "unet" else None,
        checkpoint_seconds=0.0,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
