"""Opening a published method: weights.safetensors and config.json in a folder -> the method, ready to use."""

from __future__ import annotations

import importlib
from pathlib import Path

from .checkpoints import CheckpointError, load_weights


def load_published(folder: Path, known: dict[str, tuple[str, str]], package: str, device="cpu"):
    """The method in `folder`; `known` maps its name to (module, class) inside `package`.

    Raises CheckpointError when the folder is incomplete or names a method that is not known.
    """
    weights, config = load_weights(folder)
    name = config["plan"]["method"]
    if name not in known:
        kind = package.rpartition(".")[2]
        raise CheckpointError(f"{folder} holds a {name!r}; known {kind}: {', '.join(known)}.")
    module, cls = known[name]
    method = getattr(importlib.import_module(f".{module}", package), cls)(**config["plan"]["arguments"])
    method.load(weights)
    for net in method.parts().values():
        net.eval()
    return method.to(device)
