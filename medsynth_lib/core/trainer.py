"""The training loop of all methods.

A *method* (VAE, GAN, diffusion model, segmenter, ...) defines its networks, its loss and its `step`; `fit` does the
rest: seeded batches, the moving average, progress, a check for non-finite losses, checkpoints and resuming.

Training resumes bit for bit because no random state is carried from step to step: batch and random state of step k
depend only on (seed, rank, k), so networks, optimisers, averages and k are the whole state.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from .checkpoints import save_state, save_weights
from .devices import Batches, autocast, fast_training, lay_out, make_fabric, precision_of
from .ema import EMA, RAMP
from .method import Method, TrainingError
from .processes import Processes
from .progress import Progress
from .seeding import step_seed
from .training_files import (
    evaluate_and_keep_best,
    evaluation_mode,
    find_finished,
    load_best,
    open_lines,
    saved_state,
    write_line,
)
from .training_key import code_hash, data_hash, key_of, value_hash

READINGS = 50  # times per training at which losses are read from the device
EVALUATIONS = 10  # times per training at which `monitor` evaluates the averaged weights
CHECKPOINT_SECONDS = 60.0


def fit(
    method: Method,
    tensors: dict[str, Tensor],  # training data with equal first dimension N, kept on the device if they fit
    folder: Path,  # receives weights.safetensors, config.json, stats.jsonl and state/
    *,
    images: int,  # images seen in total (an image counts each time it is seen)
    batch_size: int,  # over all processes
    seed: int,
    augment: Callable | None = None,  # function(batch) -> batch, on the device, seeded by the step
    ema_images: float | None = None,  # half-life of the weight average, in images; None = no averaging
    other_emas: tuple[float, ...] = (),  # half-lives of further averages, written to ema-<half-life>/ for comparison
    monitor: Callable | None = None,  # function(method) -> {name: number}, EVALUATIONS times
    force: bool = False,  # train again even if the folder holds a finished model
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    fabric: Fabric | None = None,
) -> dict:
    """Train `method` and return its record: images, seconds, images_per_second, parameters, losses, ...

    A finished model with the same configuration, data and code is loaded instead of trained; an interrupted one
    resumes from its last checkpoint. Networks are returned in eval mode with averaged weights: the last ones or, if
    `monitor` reports a "distance" (to validation subjects, never test), those with the smallest distance.
    Raises TrainingError when a loss is not finite, CheckpointError when the disk is full or a file is damaged.
    """
    folder, fabric = Path(folder), fabric or make_fabric()
    total = max(1, round(images / batch_size)) * batch_size
    plan = {
        "method": method.name,
        "arguments": method.arguments(),
        "images": images,
        "batch_size": batch_size,
        "seed": seed,
        "ema_images": ema_images,
        "other_emas": list(other_emas),
        "augment": value_hash(augment),
        "monitor": value_hash(monitor),
        "precision": precision_of(fabric, method),
        "world_size": fabric.world_size,
        "data": data_hash(tensors),
        "code": code_hash(type(method)),
    }
    training = Training(method, folder, fabric, plan, total, augment, monitor, checkpoint_seconds)
    training.processes.check(batch_size)
    if record := training.finished(force):
        return record
    training.prepare(tensors)
    training.resume(force)
    training.run()
    return training.publish()


class Training:
    """One call of `fit`: its arguments and its progress. Only the first process reads and writes files.

    step, seen, seconds   steps done, images seen, seconds spent, including earlier calls
    """

    def __init__(
        self,
        method: Method,
        folder: Path,
        fabric: Fabric,
        plan: dict,
        total: int,
        augment: Callable | None,
        monitor: Callable | None,
        checkpoint_seconds: float,
    ):
        self.method, self.folder, self.fabric, self.plan, self.total = method, folder, fabric, plan, total
        self.augment, self.monitor, self.checkpoint_seconds = augment, monitor, checkpoint_seconds
        self.key, self.processes, self.first = key_of(plan), Processes(fabric), fabric.is_global_zero
        self.state_path = folder / "state" / "state.pt"
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.history: list[tuple[int, list[str], Tensor]] = []  # losses that the host has not read yet
        self.losses: dict[str, float] = {}  # means over the steps before the last reading

    # ---- stages
    def finished(self, force: bool) -> dict | None:
        """The record of a finished training with the same key, whose weights are loaded; None if there is none."""
        found = self.processes.tell(find_finished(self.folder, self.key) if self.first and not force else None)
        if not found:
            return None
        weights, record = found
        if self.first:
            print(f"{self.method.name}: finished model found in {self.folder.name}/, loaded (force=True trains again)")
        self.method.load(weights)
        evaluation_mode(self.method.to(self.fabric.device))
        return record

    def prepare(self, tensors: dict[str, Tensor]) -> None:
        """Put the networks on the device, equal in all processes; make optimisers, averages and batches."""
        method, plan = self.method, self.plan
        self.networks = method.to(self.fabric.device).modules()
        lay_out(method, self.fabric.device)
        self.before = {
            name: {k: v.cpu().clone() for k, v in net.state_dict().items()} for name, net in self.networks.items()
        }
        for net in (*self.networks.values(), *method.untrained()):
            self.processes.from_first(list(net.state_dict().values()))
        for net in self.networks.values():
            net.train()
        self.optimisers = method.optimisers()
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group.setdefault("initial_lr", group["lr"])
        averaged = method.averaged if method.averaged is not None else method.networks
        half_lives = [*([plan["ema_images"]] if plan["ema_images"] else []), *plan["other_emas"]]
        self.emas = {length: EMA({name: self.networks[name] for name in averaged}, length) for length in half_lives}
        self.ema = self.emas.get(plan["ema_images"])
        for length in plan["other_emas"]:  # a longer ramp, or it would shorten the half-lives to be compared
            self.emas[length].ramp = max(RAMP, length / self.total)
        self.batches = Batches(tensors, self.fabric, plan["seed"])
        self.unique_images = len(next(iter(tensors.values())))

    def resume(self, force: bool) -> None:
        """Resume from the last checkpoint of this training; the state of any other training is removed."""
        state = saved_state(self.state_path, self.key, force) if self.first else None
        if state := self.processes.tell(state):
            self._restore(state)
        if not self.step and self.first:
            shutil.rmtree(self.folder / "state", ignore_errors=True)
        if self.seen and self.first:
            print(f"{self.method.name}: resumed at {self.seen:,} of {self.total:,} images")

    def run(self) -> None:
        """Train to the end. After an error or Ctrl-C, the networks are restored to their state before `fit`."""
        self.method.backward, self.method.mean_of_processes = self._backward, self._mean_of_processes
        self.progress = Progress(self.method.name, self.total, initial=self.seen) if self.first else None
        self.stats = open_lines(self.folder / "stats.jsonl", self.step, self.first)
        self.evaluations = open_lines(self.folder / "monitor.jsonl", self.step, self.first and self.monitor)
        self.started = self.saved = time.monotonic()
        try:
            with fast_training(self.method, self.fabric.device) as begin_step:
                self._loop(begin_step)
        except BaseException:
            for name, net in self.networks.items():
                net.load_state_dict(self.before[name])
            raise
        finally:
            del self.method.backward, self.method.mean_of_processes  # restores the class's methods
            for file in (self.progress, self.stats, self.evaluations):
                if file:
                    file.close()

    def publish(self) -> dict:
        """Put averaged weights into the networks, write them and the record to the folder, remove the checkpoint."""
        self.seconds = self._spent()
        others = {}
        for length in self.plan["other_emas"]:
            self.emas[length].swap()
            others[length] = {name: value.detach().cpu().clone() for name, value in self.method.weights().items()}
            self.emas[length].swap()
        if self.ema:
            self.ema.swap()
        state = self.folder / "state"
        published = load_best(self.method, state, self.seen) if self.monitor and self.first else self.seen
        self.processes.from_first(list(self.method.weights().values()))
        evaluation_mode(self.method)
        record = self._record(published)
        if self.first:
            config = {"key": self.key, "plan": self.plan, "record": record}
            for length, weights in others.items():
                save_weights(self.folder / f"ema-{length:g}", weights, config | {"ema_images": length})
            save_weights(self.folder, self.method.weights(), config)
            shutil.rmtree(state, ignore_errors=True)
        return self.processes.tell(record)  # also makes all processes wait until it is written

    # ---- the loop
    def _loop(self, begin_step: Callable[[], None]) -> None:
        method, seed, size = self.method, self.plan["seed"], self.plan["batch_size"]
        while self.seen < self.total:
            begin_step()
            fraction, earlier = self.seen / self.total, self.seen
            method.global_step = self.step
            torch.manual_seed(step_seed(seed, self.step, self.fabric.global_rank))
            for optimiser in self.optimisers.values():
                for group in optimiser.param_groups:
                    group["lr"] = float(group["initial_lr"] * method.lr_lambda(fraction))
            count = self._batch_size(size)
            batch = self.batches.take(self.seen, count)
            if self.augment is not None:
                batch = self.augment(batch)
            with autocast(self.fabric.device, self.plan["precision"]):
                losses = method.step(batch, self.optimisers, fraction)
            self.step, self.seen = self.step + 1, self.seen + count
            self.batches.prepare(self.seen, self._batch_size(size))
            self.history.append((self.step, list(losses), torch.stack([x.detach().float() for x in losses.values()])))
            for each in self.emas.values():
                each.update(self.seen, count)
            if self._passes(earlier, READINGS):
                self._read(earlier)

    def _read(self, earlier: int) -> None:
        """Losses, progress, evaluation, checkpoint: the only place where the host waits for the device."""
        self.losses = _read_losses(self.history, self.method.name, self.processes)
        self.history.clear()
        if not self.first:
            return
        self.progress.update(self.seen, "  ".join(f"{name} {value:.3g}" for name, value in self.losses.items()))
        where = {"step": self.step, "images": self.seen, "seconds": self._spent()}
        write_line(self.stats, {**where, **self.losses})
        if self.monitor and self._passes(earlier, EVALUATIONS):
            evaluate_and_keep_best(self.monitor, self.method, self.ema, self.evaluations, where, self.folder / "state")
        if time.monotonic() - self.saved >= self.checkpoint_seconds and self.seen < self.total:
            save_state(self.state_path, self._state(where["seconds"]))
            self.saved = time.monotonic()

    # ---- helpers
    def _batch_size(self, size: int) -> int:
        """Images in the next step, at most as many as are left."""
        return min(self.method.batch_size(size, self.seen, self.total), self.total - self.seen)

    def _passes(self, earlier: int, times: int) -> bool:
        """Whether the last step passed one of `times` evenly spaced points of the training."""
        return earlier * times // self.total != self.seen * times // self.total

    def _spent(self) -> float:
        return self.seconds + time.monotonic() - self.started

    def _backward(self, loss: Tensor) -> None:
        loss.backward()
        if self.processes.count > 1:
            weights = [weight for net in self.networks.values() for weight in net.parameters()]
            self.processes.average([w.grad for w in weights if w.requires_grad and w.grad is not None])

    def _mean_of_processes(self, value: Tensor) -> Tensor:
        self.processes.average([value])
        return value

    def _restore(self, state: dict) -> None:
        for name, net in self.networks.items():
            net.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for length, ema in self.emas.items():
            for name, value in state["emas"][str(length)].items():
                ema.average[name].copy_(value)
        self.step, self.seen, self.seconds = state["step"], state["seen"], state["seconds"]

    def _state(self, seconds: float) -> dict:
        return {
            "key": self.key,
            "step": self.step,
            "seen": self.seen,
            "seconds": seconds,
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "emas": {str(length): ema.average for length, ema in self.emas.items()},
        }

    def _record(self, published: int) -> dict:
        return {
            "method": self.method.name,
            "code": self.plan["code"],
            "parameters": self.method.parameters(),
            "images": self.total,
            "images_of_published": published,
            "unique_images": self.unique_images,
            "seconds": round(self.seconds, 2),
            "images_per_second": round(self.total / max(self.seconds, 1e-9), 2),
            "device": str(self.fabric.device),
            "precision": self.plan["precision"],
            "threads": torch.get_num_threads(),
            "world_size": self.fabric.world_size,
            "losses": self.losses,
        }


def _read_losses(history: list[tuple[int, list[str], Tensor]], method: str, processes: Processes) -> dict[str, float]:
    """Mean of each loss over its steps since the last reading; TrainingError names the first that is not finite.

    Over all processes, so that all of them stop when a loss of one is not finite.
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
            "check the data of that batch."
        )
    found: dict[str, list[float]] = {}
    for (_, name), value in zip(labels, values.tolist(), strict=True):
        found.setdefault(name, []).append(value)
    return {name: sum(own) / len(own) for name, own in found.items()}
