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
import math
import os
import shutil
import sys
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from .checkpoints import load_state, load_weights, save_state, save_weights, write_atomically
from .ema import EMA, RAMP
from .fingerprint import fingerprint
from .method import Method, TrainingError
from .progress import Progress

TICKS = 50  # times per training at which losses are read from the device
LOOKS = 10  # times per training at which `monitor` judges the averaged weights
CHECKPOINT_SECONDS = 60.0


SEVERAL = "ddp_find_unused_parameters_true"  # for several processes; a ProGAN that grows leaves some weights unused


def make_fabric(device: str = "auto") -> Fabric:
    """Fabric on one GPU with bf16 where the GPU has it, else fp32 on the CPU; under `fabric run` on all it launched."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    bf16 = on_gpu and torch.cuda.is_bf16_supported()
    launched = "LT_CLI_USED" in os.environ
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices="auto" if launched else 1,
        strategy=SEVERAL if launched else "auto",
        precision="bf16-mixed" if bf16 else "32-true",
    )
    if not launched:  # `fabric run` has done it
        fabric.launch()
    return fabric


def step_seed(seed: int, step: int, rank: int = 0, purpose: str = "step") -> int:
    """A seed in [0, 2^63) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{purpose}/{seed}/{rank}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def batch_indices(first: int, count: int, n: int, seed: int) -> Tensor:
    """Positions [count] of the images of one step, when `first` images were seen before it.

    Steps walk through seeded permutations of the n images one after another, so every image is seen equally often.
    """
    wanted = torch.arange(first, first + count)
    epochs = wanted // n
    out = torch.empty(count, dtype=torch.long)
    for epoch in epochs.unique().tolist():
        generator = torch.Generator().manual_seed(step_seed(seed, epoch, purpose="epoch"))
        here = epochs == epoch
        out[here] = torch.randperm(n, generator=generator)[wanted[here] % n]
    return out


def fit(
    method: Method,
    tensors: dict[str, Tensor],  # what a batch is made of: equal first dimension N, kept on the device if they fit
    folder: Path,  # receives weights.safetensors, config.json, stats.jsonl and state/
    *,
    images: int,  # images seen in all (an image counts each time it is seen)
    batch_size: int,  # over all processes
    seed: int,
    augment=None,  # function(batch) -> batch, on the device, seeded by the step
    ema_images: float | None = None,  # half-life of the weight average, in images; None = no averaging
    other_emas: tuple[float, ...] = (),  # half-lives of further averages, written to ema-<half-life>/ to compare with
    monitor=None,  # function(method) -> {name: number}, called LOOKS times with averaged weights
    force: bool = False,  # train anew although a finished model lies in the folder
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    fabric: Fabric | None = None,
) -> dict:
    """Train `method` and return its record: images, seconds, images_per_second, parameters, losses, ...

    A finished model with the same configuration, data and code is loaded instead of trained; an interrupted one
    goes on from its last checkpoint. Networks come back in eval mode with averaged weights: the last ones, or, where
    `monitor` reports a "distance" (to validation subjects, never test), those with the smallest.
    Raises TrainingError when a loss is not finite, CheckpointError when the disk is full or a file is damaged.
    """
    folder = Path(folder)
    fabric = fabric or make_fabric()
    n = len(next(iter(tensors.values())))
    total = max(1, round(images / batch_size)) * batch_size
    plan = {
        "method": method.name,
        "arguments": method.config(),
        "images": images,
        "batch_size": batch_size,
        "seed": seed,
        "ema_images": ema_images,
        "other_emas": list(other_emas),
        "augment": getattr(augment, "__name__", None),
        "monitored": monitor is not None,
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
    half_lives = [*([ema_images] if ema_images else []), *other_emas]
    of_average = {name: originals[name] for name in averaged}
    emas = {length: EMA(of_average, length) for length in half_lives}
    ema = emas.get(ema_images)
    for length in other_emas:  # to compare with long ones they must be long: a share of the training may be asked for
        emas[length].ramp = max(RAMP, length / total)
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group.setdefault("initial_lr", group["lr"])
    state_path = folder / "state" / "state.pt"
    step, seen, seconds = _resume(state_path, key, originals, optimisers, emas, fabric.device, force)
    if not step and fabric.is_global_zero:
        shutil.rmtree(folder / "state", ignore_errors=True)  # what another training left
    for name, net in originals.items():
        setattr(method, name, fabric.setup_module(net.train()))
    wrapped = {name: fabric.setup_optimizers(optimiser) for name, optimiser in optimisers.items()}
    method.backward, method.no_sync = fabric.backward, fabric.no_backward_sync
    home = data_home(tensors, fabric.device)
    data = {name: value.to(home) for name, value in tensors.items()}

    # ---- train
    progress = Progress(method.name, total, initial=seen)
    if seen:
        print(f"{method.name}: resumed at {seen:,} of {total:,} images")
    stats = _open_stats(folder / "stats.jsonl", step, fabric.is_global_zero)
    looks = _open_stats(folder / "monitor.jsonl", step, fabric.is_global_zero) if monitor else None
    started = last_saved = time.monotonic()
    history = []
    while seen < total:
        fraction, before = seen / total, seen
        method.at = step
        torch.manual_seed(step_seed(seed, step, fabric.global_rank))
        for optimiser in optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * method.schedule(fraction)
        count = min(method.batch_size(batch_size, seen, total), total - seen)
        index = batch_indices(seen, count, n, seed)[fabric.global_rank :: fabric.world_size].to(home)
        batch = {name: value[index].to(fabric.device) for name, value in data.items()}
        if augment is not None:
            batch = augment(batch)
        losses = method.step(batch, wrapped, fraction)
        step, seen = step + 1, seen + count
        history.append((step, list(losses), torch.stack([value.detach().float() for value in losses.values()])))
        for each in emas.values():
            each.update(seen, count)
        if before * TICKS // total == seen * TICKS // total:
            continue
        # ---- a tick: the only place where the host waits for the device
        means = _read_losses(history, method.name)
        history.clear()
        progress.update(seen, "  ".join(f"{name} {value:.3g}" for name, value in means.items()))
        if not fabric.is_global_zero:
            continue
        spent = seconds + time.monotonic() - started
        _write_line(stats, {"step": step, "images": seen, "seconds": spent, **means})
        if monitor and before * LOOKS // total != seen * LOOKS // total:
            where = {"step": step, "images": seen, "seconds": spent}
            _look(monitor, method, ema, looks, where, folder / "state")
        if time.monotonic() - last_saved >= checkpoint_seconds and seen < total:
            save_state(state_path, _state(key, step, seen, spent, originals, optimisers, emas))
            last_saved = time.monotonic()
    progress.close()
    for file in (stats, looks):
        if file:
            file.close()

    # ---- publish
    seconds += time.monotonic() - started
    for name, net in originals.items():
        setattr(method, name, net)
    del method.backward, method.no_sync  # back to the class's own
    others = {}
    for length in other_emas:
        emas[length].swap()
        others[length] = {name: value.detach().cpu().clone() for name, value in method.weights().items()}
        emas[length].swap()
    if ema:
        ema.swap()
    published = _load_best(method, folder / "state", seen) if monitor else seen
    _evaluation_mode(method)
    record = {
        "method": method.name,
        "code": plan["code"],
        "parameters": method.parameters(),
        "images": total,
        "images_of_published": published,
        "unique_images": n,
        "seconds": round(seconds, 2),
        "images_per_second": round(total / max(seconds, 1e-9), 2),
        "device": str(fabric.device),
        "precision": str(fabric._precision.precision),
        "threads": torch.get_num_threads(),
        "world_size": fabric.world_size,
        "losses": means,
    }
    if fabric.is_global_zero:
        config = {"key": key, "plan": plan, "record": record}
        for length, weights in others.items():
            save_weights(folder / f"ema-{length:g}", weights, config | {"ema_images": length})
        save_weights(folder, method.weights(), config)
        shutil.rmtree(folder / "state", ignore_errors=True)
    fabric.barrier()
    return record


def data_home(tensors: dict[str, Tensor], device: torch.device) -> torch.device:
    """Where the data wait: on a GPU if they take at most half of its free memory, else on the host, batch by batch."""
    needed = sum(value.nbytes for value in tensors.values())
    fits = device.type != "cuda" or 2 * needed <= torch.cuda.mem_get_info(device)[0]
    return device if fits else torch.device("cpu")


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


def _resume(path, key, networks, optimisers, emas, device, force) -> tuple[int, int, float]:
    """Load the state at `path` if it belongs to this training; returns (steps done, images seen, seconds spent)."""
    if force or not path.is_file():
        return 0, 0, 0.0
    state = load_state(path, device)
    if state["key"] != key:
        print(f"the interrupted training in {path.parent.parent.name}/ had other settings, data or code: starting anew")
        return 0, 0, 0.0
    for name, net in networks.items():
        net.load_state_dict(state["networks"][name])
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    for length, ema in emas.items():
        for name, value in state["emas"][str(length)].items():
            ema.average[name].copy_(value)
    return state["step"], state["seen"], state["seconds"]


def _state(key, step, seen, seconds, networks, optimisers, emas) -> dict:
    return {
        "key": key,
        "step": step,
        "seen": seen,
        "seconds": seconds,
        "networks": {name: net.state_dict() for name, net in networks.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
        "emas": {str(length): ema.average for length, ema in emas.items()},
    }


def _open_stats(path: Path, first: int, writes: bool):
    """A file of JSON lines, cut back to the lines of the first `first` steps (later ones are trained again)."""
    if not writes:
        return None
    kept = []
    if first and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= first]
    write_atomically(path, lambda part: part.write_text("".join(line + "\n" for line in kept), encoding="utf-8"))
    return open(path, "a", encoding="utf-8")


def _write_line(file, record: dict) -> None:
    file.write(json.dumps(record) + "\n")
    file.flush()


def _read_losses(history: list[tuple[int, list[str], Tensor]], method: str) -> dict[str, float]:
    """Means of each loss over the steps since the last tick that had it; TrainingError names the first broken one."""
    values = torch.cat([losses for _, _, losses in history]).cpu()
    labels = [(step, name) for step, names, _ in history for name in names]
    broken = (~torch.isfinite(values)).nonzero()
    if len(broken):
        step, name = labels[broken[0].item()]
        raise TrainingError(
            f"{method}: the loss '{name}' is {values[broken[0]].item()} at step {step}; lower the learning rate or "
            "look at the data of that batch."
        )
    found: dict[str, list[float]] = {}
    for (_, name), value in zip(labels, values.tolist(), strict=True):
        found.setdefault(name, []).append(value)
    return {name: sum(own) / len(own) for name, own in found.items()}


def _evaluation_mode(method: Method) -> None:
    for net in method.parts().values():
        net.eval()


def _look(monitor, method: Method, ema: EMA | None, file, where: dict, state: Path) -> None:
    """Judge the averaged weights, write the line, and keep them in `state` if their distance is the smallest so far."""
    if ema:
        ema.swap()
    _evaluation_mode(method)
    with torch.no_grad():
        numbers = monitor(method)
    _write_line(file, {**where, **numbers})
    best = state / "best.pt"
    if "distance" in numbers:
        smallest = load_state(best)["distance"] if best.is_file() else math.inf
        if numbers["distance"] <= smallest:
            save_state(best, {"distance": numbers["distance"], "images": where["images"], "weights": method.weights()})
    for net in method.parts().values():
        net.train()
    if ema:
        ema.swap()


def _load_best(method: Method, state: Path, seen: int) -> int:
    """Put the weights with the smallest distance, if `monitor` reported one, into `method`; their images seen."""
    if not (state / "best.pt").is_file():
        return seen
    best = load_state(state / "best.pt", method.device)
    method.load(best["weights"])
    return best["images"]
