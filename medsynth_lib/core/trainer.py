"""The one training loop.

A *method* (VAE, GAN, diffusion model, segmenter, ...) owns its networks, its loss and its `step`; `fit` owns the rest:
seeded batches, the moving average, progress, the finite check, checkpoints and resume. It knows no method by name.

Why training resumes bit for bit: nothing random lives between two steps. The batch and the random state of step k are
functions of (seed, rank, k) alone, so networks, optimisers, average and k are the whole state.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from .checkpoints import load_state, load_weights, save_state, save_weights, write_atomically
from .devices import Batches, autocast, fast_training, lay_out, make_fabric, precision_of
from .ema import EMA, RAMP
from .method import Method, TrainingError
from .processes import Processes
from .progress import Progress
from .seeding import step_seed
from .training_key import code_hash, data_hash, key_of, thing_hash

TICKS = 50  # times per training at which losses are read from the device
LOOKS = 10  # times per training at which `monitor` judges the averaged weights
CHECKPOINT_SECONDS = 60.0


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
    processes = Processes(fabric)
    processes.check(batch_size)
    precision = precision_of(fabric, method)
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
        "augment": thing_hash(augment),
        "monitor": thing_hash(monitor),
        "precision": precision,
        "world_size": fabric.world_size,
        "data": data_hash(tensors),
        "code": code_hash(type(method)),
    }
    key = key_of(plan)
    first = fabric.is_global_zero  # of several processes the first one reads and writes files, and judges
    finished = processes.tell(_finished(folder, key) if first and not force else None)
    if finished:
        if first:
            print(f"{method.name}: finished model found in {folder.name}/, loaded (force=True trains it again)")
        method.load(finished[0])
        _evaluation_mode(method.to(fabric.device))
        return finished[1]

    # ---- networks, optimisers, averages, resume
    networks = method.to(fabric.device).parts()
    lay_out(method, fabric.device)
    before = {name: {k: v.cpu().clone() for k, v in net.state_dict().items()} for name, net in networks.items()}
    for net in (*networks.values(), *method.untrained()):
        processes.from_first(list(net.state_dict().values()))
    for net in networks.values():
        net.train()
    optimisers = method.optimisers()
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group.setdefault("initial_lr", group["lr"])
    averaged = method.averaged if method.averaged is not None else method.networks
    half_lives = [*([ema_images] if ema_images else []), *other_emas]
    emas = {length: EMA({name: networks[name] for name in averaged}, length) for length in half_lives}
    ema = emas.get(ema_images)
    for length in other_emas:  # to compare with long ones they must be long: a share of the training may be asked for
        emas[length].ramp = max(RAMP, length / total)
    state_path = folder / "state" / "state.pt"
    state = processes.tell(_saved_state(state_path, key, force) if first else None)
    step, seen, seconds = _restore(state, networks, optimisers, emas) if state else (0, 0, 0.0)
    if not step and first:
        shutil.rmtree(folder / "state", ignore_errors=True)  # what another training left
    if seen and first:
        print(f"{method.name}: resumed at {seen:,} of {total:,} images")

    batches = Batches(tensors, fabric, seed)
    weights = [weight for net in networks.values() for weight in net.parameters()]

    def backward(loss: Tensor) -> None:
        loss.backward()
        if processes.count > 1:
            processes.average([w.grad for w in weights if w.requires_grad and w.grad is not None])

    def mean_of_processes(value: Tensor) -> Tensor:
        processes.average([value])
        return value

    method.backward, method.mean_of_processes = backward, mean_of_processes
    progress = Progress(method.name, total, initial=seen) if first else None
    stats = _open_stats(folder / "stats.jsonl", step, first)
    looks = _open_stats(folder / "monitor.jsonl", step, first and monitor)
    started = last_saved = time.monotonic()
    history = []
    try:
        with fast_training(method, fabric.device) as begin_step:
            while seen < total:
                begin_step()
                fraction, earlier = seen / total, seen
                method.at = step
                torch.manual_seed(step_seed(seed, step, fabric.global_rank))
                for optimiser in optimisers.values():
                    for group in optimiser.param_groups:
                        group["lr"] = float(group["initial_lr"] * method.schedule(fraction))
                count = min(method.batch_size(batch_size, seen, total), total - seen)
                batch = batches.take(seen, count)
                if augment is not None:
                    batch = augment(batch)
                with autocast(fabric.device, precision):
                    losses = method.step(batch, optimisers, fraction)
                step, seen = step + 1, seen + count
                batches.prepare(seen, min(method.batch_size(batch_size, seen, total), total - seen))
                history.append((step, list(losses), torch.stack([x.detach().float() for x in losses.values()])))
                for each in emas.values():
                    each.update(seen, count)
                if earlier * TICKS // total == seen * TICKS // total:
                    continue
                # ---- a tick: the only place where the host waits for the device
                means = _read_losses(history, method.name, processes)
                history.clear()
                if not first:
                    continue
                progress.update(seen, "  ".join(f"{name} {value:.3g}" for name, value in means.items()))
                spent = seconds + time.monotonic() - started
                _write_line(stats, {"step": step, "images": seen, "seconds": spent, **means})
                if monitor and earlier * LOOKS // total != seen * LOOKS // total:
                    where = {"step": step, "images": seen, "seconds": spent}
                    _look(monitor, method, ema, looks, where, folder / "state")
                if time.monotonic() - last_saved >= checkpoint_seconds and seen < total:
                    save_state(state_path, _state(key, step, seen, spent, networks, optimisers, emas))
                    last_saved = time.monotonic()
    except BaseException:  # Ctrl-C in a notebook, too: the same cell may be run again and must begin from the same
        for name, net in networks.items():
            net.load_state_dict(before[name])
        raise
    finally:
        del method.backward, method.mean_of_processes  # back to the class's own
        for file in (progress, stats, looks):
            if file:
                file.close()

    # ---- publish
    seconds += time.monotonic() - started
    others = {}
    for length in other_emas:
        emas[length].swap()
        others[length] = {name: value.detach().cpu().clone() for name, value in method.weights().items()}
        emas[length].swap()
    if ema:
        ema.swap()
    published = _load_best(method, folder / "state", seen) if monitor and first else seen
    processes.from_first(list(method.weights().values()))
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
        "precision": precision,
        "threads": torch.get_num_threads(),
        "world_size": fabric.world_size,
        "losses": means,
    }
    if first:
        config = {"key": key, "plan": plan, "record": record}
        for length, weights in others.items():
            save_weights(folder / f"ema-{length:g}", weights, config | {"ema_images": length})
        save_weights(folder, method.weights(), config)
        shutil.rmtree(folder / "state", ignore_errors=True)
    return processes.tell(record)  # and so all wait until it is written


def _finished(folder: Path, key: str):
    """(weights, record) of a finished training with this key, else None."""
    if not (folder / "config.json").is_file():
        return None
    weights, config = load_weights(folder)
    return (weights, config["record"]) if config.get("key") == key else None


def _saved_state(path: Path, key: str, force: bool) -> dict | None:
    """The state at `path` if it belongs to this training."""
    if force or not path.is_file():
        return None
    state = load_state(path)
    if state["key"] != key:
        print(f"the interrupted training in {path.parent.parent.name}/ had other settings, data or code: starting anew")
        return None
    return state


def _restore(state: dict, networks, optimisers, emas) -> tuple[int, int, float]:
    """Put a saved state back; returns (steps done, images seen, seconds spent)."""
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
    """The file of JSON lines, cut back to the lines of the first `first` steps (later ones are trained again)."""
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


def _read_losses(history: list[tuple[int, list[str], Tensor]], method: str, processes: Processes) -> dict[str, float]:
    """Means of each loss over the steps since the last tick that had it; TrainingError names the first broken one.

    Over all processes, so that all of them stop when one of them meets a loss that is not finite.
    """
    values = torch.cat([losses for _, _, losses in history])
    processes.average([values])
    values = values.cpu()
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
