"""EDM (Karras et al. 2022): diffusion with noise level sigma, inputs and targets of unit variance, few evaluations.

    x = x_0 + sigma n,  n ~ N(0, I)
    D(x; sigma) = c_skip x + c_out F(c_in x; ln(sigma) / 4)            (eq. 7; F is the network)
    L = E_{sigma, x_0, n}  lambda(sigma) || D(x; sigma) - x_0 ||^2,  ln(sigma) ~ N(-1.2, 1.2^2)

The coefficients (table 1) give F inputs and targets of variance 1 at every sigma, and lambda = 1 / c_out^2 weights its
errors equally. They need the deviation of the data, sigma_data, which is measured (`deviation`).

The noise levels in training (`p_mean`, `p_std`) decide what is learned. Where neighbouring pixels and channels are
redundant, the outline of an image is visible even in strong noise, so coarse structure is decided at high levels;
Hoogeboom et al. (2023) therefore raise the levels with the size of the image. But the exact border of a lesion is
decided at low levels, and matters more to a segmenter that learns from the images. The values used here were found by
trial, by the usefulness of the samples and not by their appearance.

F may also predict the clean image itself: c_skip = 0, c_out = sigma_data. Then it need not represent noise, which a
small network cannot. lambda is (1 + SNR) / sigma_data^2 with SNR = sigma_data^2 / sigma^2. SNR is bounded (Hang et al.
2023), because such a network is never exact near the clean image, and these errors would dominate the loss.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from diffusers import EDMDPMSolverMultistepScheduler, SchedulerMixin
from torch import Tensor, nn

from ...data import joint
from .pixels import PixelConfig, PixelDiffusion
from .solvers import alphas, walk
from .unet import FoldedUNet

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
P_MEAN, P_STD = -1.2, 1.2  # of ln(sigma) in training: the paper's, for photographs of 32 and 64 pixels
MAX_SNR = 5.0  # in the weight of a network that predicts the clean image (Hang et al. 2023)
PREDICTION_TYPES = ("edm", "sample")


class Denoiser(nn.Module):
    """D(x; sigma) around F = `net`(x, level, *condition), for data of deviation `sigma_data`; x [B, ...], sigma [B].

    p_mean, p_std    mean and standard deviation of ln(sigma) in training (P_mean and P_std in the paper)
    prediction_type  what F predicts: "edm", the paper's mixture of image and noise, or "sample", the clean image
    """

    def __init__(
        self,
        net: nn.Module,
        sigma_data: float,
        p_mean: float = P_MEAN,
        p_std: float = P_STD,
        prediction_type: str = "edm",
    ):
        super().__init__()
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(f"unknown prediction_type {prediction_type!r}; known: {', '.join(PREDICTION_TYPES)}.")
        self.net, self.p_mean, self.p_std, self.prediction_type = net, p_mean, p_std, prediction_type
        self.register_buffer("sigma_data", torch.tensor(float(sigma_data)))
        self.deviation = self.sigma_data.item()  # the same number on the host

    def coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in for every sigma."""
        total = sigma**2 + self.sigma_data**2
        return self.sigma_data**2 / total, sigma * self.sigma_data / total.sqrt(), total.rsqrt()

    def forward(self, x: Tensor, sigma: Tensor, *condition: Tensor | None) -> Tensor:
        answer = self.answer(x, sigma, *condition)
        if self.prediction_type == "sample":
            return self.sigma_data * answer
        c_skip, c_out, _ = self.coefficients(append_dims(sigma, x))
        return c_skip * x + c_out * answer

    def answer(self, x: Tensor, sigma: Tensor, *condition: Tensor | None) -> Tensor:
        """F(c_in x; ln(sigma) / 4), of the shape of x."""
        _, _, c_in = self.coefficients(append_dims(sigma, x))
        return self.net(c_in * x, sigma.log() / 4, *condition).float()

    def noise_in(self, x: Tensor, t: Tensor) -> Tensor:
        """The noise in Ho et al.'s x_t at step t int64 [B]: x_t = sqrt(a_t) (x_0 + sigma n), sigma^2 = 1 / a_t - 1.

        With it, samplers for noise predictors can use this denoiser.
        """
        a = alphas(x.device)[t]
        sigma = (1 / a - 1).sqrt()
        grown = x / append_dims(a.sqrt(), x)
        return (grown - self(grown, sigma)) / append_dims(sigma, x)

    def noisy(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """`clean` [B, ...] with noise of a random level per row, and these levels sigma [B]; in fp32."""
        sigma = torch.exp(self.p_mean + self.p_std * torch.randn(len(clean), device=clean.device))
        return clean + append_dims(sigma, clean) * torch.randn_like(clean), sigma

    def error(
        self, clean: Tensor, noisy: Tensor, sigma: Tensor, *condition: Tensor | None, importance: Tensor | None = None
    ) -> Tensor:
        """The weighted squared error per row: [B]; `importance`, of the shape of `clean` or [B, 1, H, W], of pixels."""
        snr = (self.sigma_data / sigma).square()
        weight = 1 + (snr.clamp(max=MAX_SNR) if self.prediction_type == "sample" else snr)
        square = ((self(noisy, sigma, *condition) - clean) / self.sigma_data).square()
        square = square if importance is None else importance * square
        return weight * square.flatten(1).mean(1)

    def loss(self, clean: Tensor, *condition: Tensor | None, importance: Tensor | None = None) -> Tensor:
        """The error at random noise levels: [B]."""
        return self.error(clean, *self.noisy(clean), *condition, importance=importance)

    def solve(self, noise: Tensor, steps: int, *condition: Tensor | None) -> Tensor:
        """From noise [B, ...] of unit variance to data by DPM-Solver++(2M) (Lu et al. 2022): `steps` calls of F."""
        solver = solver_of(steps, self.deviation)
        x = noise * solver.init_noise_sigma
        sigmas = solver.sigmas.to(x.device)  # copied once; the solver's own stay on the host
        for level, sigma in zip(solver.timesteps, sigmas, strict=False):  # one more sigma, the last: 0
            solver.scale_model_input(x, level)  # sets the solver's step index
            c_skip, c_out, _ = self.coefficients(sigma)
            mixture = (self(x, sigma.expand(len(x)), *condition) - c_skip * x) / c_out  # what the solver expects
            x = solver.step(mixture, level, x).prev_sample
        return x

    def heun(self, noise: Tensor, steps: int, *condition: Tensor | None) -> Tensor:
        """The same by Heun's method (algorithm 1 of the paper) on dx/dsigma = (x - D) / sigma: 2 steps - 1 calls."""
        levels = solver_of(steps, self.deviation).sigmas.to(noise.device)
        x, last = noise * levels[0], len(levels) - 2
        for k, (now, after) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
            slope = (x - self(x, now.expand(len(x)), *condition)) / now
            euler = x + (after - now) * slope
            if k < last:  # the last level is 0, where there is no slope
                slope = (slope + (euler - self(euler, after.expand(len(x)), *condition)) / after) / 2
            x = x + (after - now) * slope
        return x


def append_dims(values: Tensor, x: Tensor) -> Tensor:
    """`values` [B] shaped to be multiplied with x [B, ...]."""
    return values.view(-1, *[1] * (x.dim() - 1))


def solver_of(steps: int, sigma_data: float) -> EDMDPMSolverMultistepScheduler:
    """diffusers' solver for a network with these coefficients, on the paper's noise levels (eq. 5, rho 7).

    `prediction_type` must be "epsilon", which stands for a positive c_out there.
    """
    solver = EDMDPMSolverMultistepScheduler(
        sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, sigma_data=sigma_data, prediction_type="epsilon"
    )
    solver.set_timesteps(steps)
    solver.set_begin_index(0)
    return solver


@dataclass(frozen=True)
class EDMConfig(PixelConfig):
    sigma_data: float  # root mean square of the joint images (see `deviation`)
    _: KW_ONLY
    p_mean: float = P_MEAN  # mean of ln(sigma) in training
    p_std: float = P_STD  # standard deviation of ln(sigma) in training
    prediction_type: str = "edm"  # the prediction target: see Denoiser


class EDM(PixelDiffusion):
    """EDM over joint images."""

    Config = EDMConfig
    name = "edm"
    networks = ("denoiser",)
    compiled = ("denoiser.net",)

    def build(self) -> None:
        noise = {"p_mean": self.p_mean, "p_std": self.p_std, "prediction_type": self.prediction_type}
        self.denoiser = Denoiser(self.network(), self.sigma_data, **noise)

    def network(self) -> nn.Module:
        """A new network F."""
        return FoldedUNet(self.shape.joint, self.shape.size, *self.sizes)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Per image of the batch: [B]."""
        return self.denoiser.loss(joint.encode(batch["images"], batch["labels"], self.shape.labels))

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        loss = self.loss(batch).mean()
        self.descend(loss, optimisers)
        return {"loss": loss}

    def sample(
        self, n: int, seed: int, steps: int | None = None, scheduler: SchedulerMixin | None = None
    ) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W]; `scheduler` (see `solvers.solver`) replaces EDM's own sampler."""
        noise, generator = self.noise(n, seed)

        def draw(noise: Tensor) -> tuple[Tensor, Tensor]:
            if scheduler:
                return self.decoded(walk(self.denoiser.noise_in, noise, scheduler, generator))
            return self.decoded(self.solve(noise, steps or self.solver_steps))

        return self.in_batches(draw, noise)

    def solve(self, noise: Tensor, steps: int) -> Tensor:
        """Joint images from noise of unit variance [n, C + K, H, W]."""
        return self.denoiser.solve(noise, steps)


def deviation(tensors: dict[str, Tensor], n_labels: int) -> float:
    """The sigma_data of joint images of {"images" [N, C, H, W], "labels" [N, H, W]}: root of their mean square.

    The values of label channels are -1 or 1, so their squares are 1 and the labels are not read.
    """
    images = tensors["images"]
    squares = sum(float(part.double().square().sum()) for part in images.split(256))
    pixels = images[:, 0].numel()
    return ((squares + n_labels * pixels) / ((images.shape[1] + n_labels) * pixels)) ** 0.5
