"""The one training loop.

A *method* (VAE, GAN, diffusion model, segmenter, ...) owns its networks, its loss and its `step`; `fit` owns the rest:
seeded batches, the moving average, progress, the finite check, checkpoints and resume. It knows no method by name.

Why training resumes bit for bit: nothing random lives between two steps. The batch and the random state of step k are
functions of (seed, rank, k) alone, so networks, optimisers, average and k are the whole state.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from .checkpoints import load_state, load_weights, save_state, save_weights, write_atomically
from .ema import EMA
from .fingerprint import fingerprint
from .progress import Progress

TICKS = 50  # times per training at which losses are read from the device
CHECKPOINT_SECONDS = 60.0


class TrainingError(RuntimeError):
    """Training cannot go on; the sentence names the step, the loss and what to try."""


class Method:
    """What `fit` needs of a method. Subclasses set `networks` (attribute names of nn.Modules) and write `step`.

    name       lower-case name used in files and reports
    networks   names of the attributes that are trained
    averaged   those of them whose moving average is published (default: all)
    """

    name = "method"
    networks: tuple[str, ...] = ()
    averaged: tuple[str, ...] | None = None

    def config(self) -> dict:
        """Constructor arguments as plain values: `type(self)(**config)` builds the same networks."""
        raise NotImplementedError(f"{type(self).__name__} must say with which arguments it was built")

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """New optimisers by name; called once per training."""
        raise NotImplementedError(f"{type(self).__name__} must build its optimisers")

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        """Loss, backward and optimiser step(s) on one batch; returns scalar loss tensors by name (no `.item()`).

        `fraction` in [0, 1) is the share of the training that is done (for warm-ups).
        """
        raise NotImplementedError(f"{type(self).__name__} must write its step")

    def schedule(self, fraction: float) -> float:
        """Factor on every learning rate at `fraction` of the training."""
        return 1.0

    def backward(self, loss: Tensor) -> None:
        """Replaced by Fabric's backward during `fit`."""
        loss.backward()

    def parts(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in self.networks}

    def parameters(self) -> int:
        """Number of trainable parameters of all networks."""
        return sum(p.numel() for net in self.parts().values() for p in net.parameters() if p.requires_grad)

    def to(self, device) -> Method:
        for net in self.parts().values():
            net.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return next(next(iter(self.parts().values())).parameters()).device

    def weights(self) -> dict[str, Tensor]:
        return {f"{n}.{k}": v for n, net in self.parts().items() for k, v in net.state_dict().items()}

    def load(self, weights: dict[str, Tensor]) -> Method:
        """Load `weights()` of a like method; raises TrainingError when names or shapes differ."""
        for name, net in self.parts().items():
            mine = {k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(name + ".")}
            try:
                net.load_state_dict(mine)
            except RuntimeError as error:
                reason = str(error).splitlines()[-1].strip()
                raise TrainingError(
                    f"the weights do not fit {self.name}'s {name} ({reason}); build it from the config beside them."
                ) from error
        return self


def make_fabric(device: str = "auto") -> Fabric:
    """Fabric on one GPU with bf16 where the GPU has it, else fp32 on the CPU; under `fabric run` on all it launched."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    bf16 = on_gpu and torch.cuda.is_bf16_supported()
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices="auto" if "LT_CLI_USED" in os.environ else 1,
        precision="bf16-mixed" if bf16 else "32-true",
    )
    fabric.launch()
    return fabric


def step_seed(seed: int, step: int, rank: int = 0, purpose: str = "step") -> int:
    """A seed in [0, 2^63) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{purpose}/{seed}/{rank}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def batch_indices(step: int, batch_size: int, n: int, seed: int) -> Tensor:
    """Positions [batch_size] of the images of one step.

    Steps walk through seeded permutations of the n images one after another, so every image is seen equally often.
    """
    wanted = torch.arange(step * batch_size, (step + 1) * batch_size)
    epochs = wanted // n
    out = torch.empty(batch_size, dtype=torch.long)
    for epoch in epochs.unique().tolist():
        generator = torch.Generator().manual_seed(step_seed(seed, epoch, purpose="epoch"))
        here = epochs == epoch
        out[here] = torch.randperm(n, generator=generator)[wanted[here] % n]
    return out


def fit(
    method: Method,
    tensors: dict[str, Tensor],  # what a batch is made of: equal first dimension N, kept on the device
    folder: Path,  # receives weights.safetensors, config.json, stats.jsonl and state/
    *,
    images: int,  # images seen in all (an image counts each time it is seen)
    batch_size: int,  # over all processes
    seed: int,
    augment=None,  # function(batch) -> batch, on the device, seeded by the step
    ema_images: float | None = None,  # half-life of the weight average, in images; None = no averaging
    preview=None,  # function(method) called at each tenth of the training with averaged weights
    force: bool = False,  # train anew although a finished model lies in the folder
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    fabric: Fabric | None = None,
) -> dict:
    """Train `method` and return its record: images, seconds, images_per_second, parameters, losses, ...

    A finished model with the same configuration, data and code is loaded instead of trained; an interrupted one
    goes on from its last checkpoint. Networks come back in eval mode with averaged weights.
    Raises TrainingError when a loss is not finite, CheckpointError when the disk is full or a file is damaged.
    """
    folder = Path(folder)
    fabric = fabric or make_fabric()
    n = len(next(iter(tensors.values())))
    total = max(1, round(images / batch_size))
    plan = {
        "method": method.name,
        "arguments": method.config(),
        "images": images,
        "batch_size": batch_size,
        "seed": seed,
        "ema_images": ema_images,
        "augment": getattr(augment, "__name__", None),
        "world_size": fabric.world_size,
        "data": data_hash(tensors),
        "code": code_hash(type(method)),
    }
    key = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
    finished = None if force else _finished(folder, key)
    if finished:
        print(f"{method.name}: finished model found in {folder.name}/, loaded (force=True trains it again)")
        method.load(finished[0])
        _evaluation_mode(method.to(fabric.device))
        return finished[1]

    # ---- networks, optimisers, average, resume
    optimisers = method.to(fabric.device).optimisers()
    originals, averaged = method.parts(), method.averaged if method.averaged is not None else method.networks
    ema = EMA({name: originals[name] for name in averaged}, ema_images) if ema_images else None
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group.setdefault("initial_lr", group["lr"])
    state_path = folder / "state" / "state.pt"
    first, seconds = _resume(state_path, key, originals, optimisers, ema, fabric.device, force)
    for name, net in originals.items():
        setattr(method, name, fabric.setup_module(net.train()))
    wrapped = {name: fabric.setup_optimizers(optimiser) for name, optimiser in optimisers.items()}
    method.backward = fabric.backward
    data = {name: value.to(fabric.device) for name, value in tensors.items()}

    # ---- train
    tick_steps = max(1, total // TICKS)
    preview_steps = max(1, total // 10)
    progress = Progress(method.name, total * batch_size, initial=first * batch_size)
    if first:
        print(f"{method.name}: resumed at {first * batch_size:,} of {total * batch_size:,} images")
    stats = _open_stats(folder / "stats.jsonl", first, fabric.is_global_zero)
    started = last_saved = time.monotonic()
    losses, history = {}, []
    for step in range(first, total):
        torch.manual_seed(step_seed(seed, step, fabric.global_rank))
        for optimiser in optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * method.schedule(step / total)
        index = batch_indices(step, batch_size, n, seed)[fabric.global_rank :: fabric.world_size].to(fabric.device)
        batch = {name: value[index] for name, value in data.items()}
        if augment is not None:
            batch = augment(batch)
        losses = method.step(batch, wrapped, step / total)
        history.append(torch.stack([value.detach().float() for value in losses.values()]))
        seen = (step + 1) * batch_size
        if ema:
            ema.update(seen, batch_size)
        if preview is not None and (step + 1) % preview_steps == 0 and fabric.is_global_zero:
            _show_preview(preview, method, ema)
        if (step + 1) % tick_steps and step + 1 < total:
            continue
        # ---- a tick: the only place where the host waits for the device
        means = _read_losses(history, list(losses), step + 1, method.name)
        history.clear()
        now = time.monotonic()
        progress.update(seen, "  ".join(f"{name} {value:.3g}" for name, value in means.items()))
        if fabric.is_global_zero:
            stats.write(
                json.dumps({"step": step + 1, "images": seen, "seconds": seconds + now - started, **means}) + "\n"
            )
            stats.flush()
            if now - last_saved >= checkpoint_seconds and step + 1 < total:
                spent = seconds + now - started
                save_state(state_path, _state(key, step + 1, spent, originals, optimisers, ema))
                last_saved = now
    progress.close()
    if stats:
        stats.close()

    # ---- publish
    seconds += time.monotonic() - started
    for name, net in originals.items():
        setattr(method, name, net)
    del method.backward  # back to the class's own
    if ema:
        ema.swap()
    _evaluation_mode(method)
    record = {
        "method": method.name,
        "parameters": method.parameters(),
        "images": total * batch_size,
        "unique_images": n,
        "seconds": round(seconds, 2),
        "images_per_second": round(total * batch_size / max(seconds, 1e-9), 2),
        "device": str(fabric.device),
        "precision": str(fabric._precision.precision),
        "threads": torch.get_num_threads(),
        "world_size": fabric.world_size,
        "losses": means,
    }
    if fabric.is_global_zero:
        save_weights(folder, method.weights(), {"key": key, "plan": plan, "record": record})
        state_path.unlink(missing_ok=True)
    fabric.barrier()
    return record


def data_hash(tensors: dict[str, Tensor]) -> str:
    """sha256 (16 hex digits) of names, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.contiguous().cpu().numpy().data)
    return digest.hexdigest()[:16]


def code_hash(cls: type) -> str:
    """Hash of the code of `cls`, of what its file imports from this package, and of this loop.

    Comments and docstrings do not count, so a prose edit retrains nothing.
    """
    own = dict.fromkeys(sys.modules[c.__module__] for c in cls.__mro__ if c.__module__ not in ("builtins", "__main__"))
    used = {module.__name__ for module in own} | {EMA.__module__}
    for value in (v for module in own if module.__name__ != __name__ for v in vars(module).values()):
        name = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None) or ""
        if name.startswith(__package__ + "."):
            used.add(name)
    modules = [sys.modules[name] for name in sorted(used)]
    sources = [inspect.getsource(module) for module in modules]
    return fingerprint(sources)


def _finished(folder: Path, key: str):
    """(weights, record) of a finished training with this key, else None."""
    if not (folder / "config.json").is_file():
        return None
    weights, config = load_weights(folder)
    return (weights, config["record"]) if config.get("key") == key else None


def _resume(path, key, networks, optimisers, ema, device, force) -> tuple[int, float]:
    """Load the state at `path` if it belongs to this training; returns (steps done, seconds spent)."""
    if force or not path.is_file():
        return 0, 0.0
    state = load_state(path, device)
    if state["key"] != key:
        print(f"the interrupted training in {path.parent.parent.name}/ had other settings, data or code: starting anew")
        return 0, 0.0
    for name, net in networks.items():
        net.load_state_dict(state["networks"][name])
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    if ema:
        for name, value in state["ema"].items():
            ema.average[name].copy_(value)
    return state["step"], state["seconds"]


def _state(key, step, seconds, networks, optimisers, ema) -> dict:
    return {
        "key": key,
        "step": step,
        "seconds": seconds,
        "networks": {name: net.state_dict() for name, net in networks.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
        "ema": ema.average if ema else {},
    }


def _open_stats(path: Path, first: int, writes: bool):
    """stats.jsonl, cut back to the lines of the first `first` steps (later ones are trained again)."""
    if not writes:
        return None
    kept = []
    if first and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= first]
    write_atomically(path, lambda part: part.write_text("".join(line + "\n" for line in kept), encoding="utf-8"))
    return open(path, "a", encoding="utf-8")


def _read_losses(history: list[Tensor], names: list[str], last_step: int, method: str) -> dict[str, float]:
    """Means of the losses since the last tick; TrainingError names the first step and loss that is not finite."""
    values = torch.stack(history).cpu()
    broken = (~torch.isfinite(values)).nonzero()
    if len(broken):
        row, column = broken[0].tolist()
        raise TrainingError(
            f"{method}: the loss '{names[column]}' is {values[row, column].item()} at step "
            f"{last_step - len(history) + row + 1}; lower the learning rate or look at the data of that batch."
        )
    return dict(zip(names, values.mean(0).tolist(), strict=True))


def _evaluation_mode(method: Method) -> None:
    for net in method.parts().values():
        net.eval()


def _show_preview(preview, method: Method, ema: EMA | None) -> None:
    if ema:
        ema.swap()
    _evaluation_mode(method)
    with torch.no_grad():
        preview(method)
    for net in method.parts().values():
        net.train()
    if ema:
        ema.swap()
