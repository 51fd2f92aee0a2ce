"""Every method of the library at a small size, with data for it: for tests of all methods and for the GPU check."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import medsynth_lib as ms  # imports a method's own library (MONAI, diffusers) only when the method is named
from medsynth_lib.core.method import Method

SIZE, ROWS = 16, 10
VAE = {"channels": 2, "labels": 3, "size": SIZE, "width": 8, "latent": 4}
CODER = {"channels": 2, "labels": 3, "size": SIZE, "width": 8, "latent": 2, "patch": 2}
SMALL = {"patch": 2, "widths": (8, 16), "layers": 1}


def diffusion_features() -> Method:
    return ms.DiffusionFeatures(ms.EDM(2, 0, SIZE, 0.7, **SMALL), 3, width=8)


def segmenter(name: str, *sizes: tuple[int, ...]) -> Method:
    from medsynth_lib.models.registry import method_class

    return method_class(name, "segmenter")(2, 3, *sizes)


def simclr() -> Method:
    from medsynth_lib.models.encoder.simclr import SimCLR

    return SimCLR(2, SIZE, width=8, features=8)


METHODS = {
    "vae": lambda: ms.VAE(2, 3, SIZE, width=8, latent=4),
    "dcgan": lambda: ms.DCGAN(2, 3, SIZE, width=8, latent=4),
    "progan": lambda: ms.ProGAN(2, 3, SIZE, width=8, fmap_max=8, latent=4),
    "stylegan1": lambda: ms.StyleGAN1(2, 3, SIZE, width=8, fmap_max=8, latent=4, ada_images=100),
    "stylegan2": lambda: ms.StyleGAN2(2, 3, SIZE, width=8, fmap_max=8, latent=4, ada_images=100, path_length=True),
    "stylegan3": lambda: ms.StyleGAN3(2, 3, SIZE, width=8, fmap_max=8, latent=4, depth=3, margin=4, view="diffaugment"),
    "ddpm": lambda: ms.DDPM(2, 3, SIZE, **SMALL),
    "edm": lambda: ms.EDM(2, 3, SIZE, 0.7, **SMALL),
    "class_diffusion": lambda: ms.ClassDiffusion(2, 3, SIZE, 0.7, classes=2, overlap=0.1, **SMALL),
    "patch_diffusion": lambda: ms.PatchDiffusion(2, 3, SIZE, 0.7, tile=8, **SMALL),
    "latent_diffusion": lambda: ms.LatentDiffusion(2, 3, SIZE, VAE, width=16, blocks=1),
    "spatial_diffusion": lambda: ms.SpatialDiffusion(2, 3, SIZE, CODER, kinds=2, widths=(8, 16), attention=False),
    "autoencoder": lambda: ms.Autoencoder(2, 3, SIZE, width=8, latent=2),
    "cyclegan": lambda: ms.CycleGAN(1, SIZE, width=4, blocks=1, discriminator_layers=1, pool_size=17),
    "attention_cyclegan": lambda: ms.AttentionCycleGAN(
        1, SIZE, width=4, blocks=1, patch=2, discriminator_layers=1, pool_size=17
    ),
    "pix2pix": lambda: ms.Pix2Pix(2, 3, SIZE, width=4, levels=3),
    "spade": lambda: ms.SPADE(2, 3, SIZE, width=4, levels=2),
    "mask_diffusion": lambda: ms.MaskDiffusion(2, 3, SIZE, 0.7, **SMALL),
    "unet": lambda: segmenter("unet", (8, 16)),
    "dynunet": lambda: segmenter("dynunet", (8, 8, 16)),
    "swin": lambda: segmenter("swin", (12,)),
    "diffusion_features": diffusion_features,
    "simclr": simclr,
}
SIZES = {"swin": 64}  # pixels, where SIZE is too small


def data(name: str) -> dict[str, torch.Tensor]:
    """Training data for METHODS[name]: ROWS images with labels, or their latents, classes, subjects."""
    generator, size = torch.Generator().manual_seed(0), SIZES.get(name, SIZE)
    images = torch.rand(ROWS, 2, size, size, generator=generator) * 2 - 1
    tensors = {"images": images, "labels": (images[:, 0] > 0).to(torch.uint8) + (images[:, 1] > 0.5)}
    if name in ("cyclegan", "attention_cyclegan"):
        return {"a": images[:, :1], "b": images[:, 1:]}
    if name == "latent_diffusion":
        return {"mean": images[:, 0, 0, :4], "log_variance": images[:, 1, 0, :4]}
    if name == "spatial_diffusion":
        codes = {"mean": images[:, :, :4, :4], "log_variance": images[:, :, 4:8, :4]}
        return codes | {"kinds": torch.arange(ROWS) % 2}
    more = {"classes": torch.arange(ROWS) % 2} if name == "class_diffusion" else {}
    return tensors | more | ({"subjects": torch.arange(ROWS) // 2} if name == "simclr" else {})


def in_use(method: Method, tensors: dict) -> list[torch.Tensor]:
    """What the method returns in use (samples, predictions, embeddings, ...), from tensors on the CPU."""
    found = []
    if hasattr(method, "translate"):
        given = (tensors["a"], "b") if "a" in tensors else (tensors["labels"], 0)
        found.append(method.translate(*given))
    elif hasattr(method, "sample"):
        found += method.sample(5, 0)
    if method.name == "cyclegan":
        found.append(method.intensity_mapped(tensors["a"], "b"))
    if hasattr(method, "attention") and "a" in tensors:
        found.append(method.attention(tensors["a"], "b"))
    if hasattr(method, "predict"):
        found.append(method.predict(tensors["images"]))
    if hasattr(method, "reconstruct"):
        found += method.latents(tensors["images"], tensors["labels"]).values()
        found += method.reconstruct(tensors["images"], tensors["labels"])
    if hasattr(method, "styles"):
        styles = method.styles(3, 0)
        found += [styles, *method.render(method.cross(styles, styles))]
        found += method.project(tensors["images"][:2], tensors["labels"][:2], steps=1)
    if hasattr(method, "embed"):
        found.append(torch.from_numpy(method.embed(tensors["images"].numpy())))
    return found


def all_names() -> set[str]:
    """The names of all methods that the library's modules define, also of those that METHODS lacks."""
    for module in pkgutil.walk_packages(ms.__path__, f"{ms.__name__}."):
        if module.name.split(".")[1] == "models":
            importlib.import_module(module.name)

    def below(cls: type) -> Iterator[type]:
        for sub in cls.__subclasses__():
            yield sub
            yield from below(sub)

    return {c.name for c in below(Method) if c.__module__.startswith(ms.__name__) and not inspect.isabstract(c)}


CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.mkldnn_convolution.default)
LINEAR = (torch.ops.aten.addmm.default,)


class Kinds(TorchDispatchMode):
    """Counts convolutions and linear layers by the precision in which they are computed."""

    def __init__(self):
        self.found = Counter()
        super().__init__()

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        for kind, operations in (("convolution", CONVOLUTIONS), ("linear", LINEAR)):
            if operation in operations:
                self.found[kind, args[-2 if kind == "linear" else 0].dtype] += 1
        return operation(*args, **(kwargs or {}))
