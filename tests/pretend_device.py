"""A second device for machines without a GPU: its tensors lie in ordinary memory, but may not meet those of the CPU.

As on a GPU, an operation on tensors of both devices is an error, and numpy reads none of its tensors. What a GPU does
silently is counted in `COUNTS`: copies "to device" and "to host", and "reads" of values for which the host would wait.

    from pretend_device import DEVICE, PretendFabric
    ms.fit(method, tensors, folder, fabric=PretendFabric(), ...)

In every Python process whose PYTHONPATH has the folder tests/on_pretend_device, it is the device that `ms.fit` uses.
"""

from __future__ import annotations

from collections import Counter
from functools import wraps

import torch
from lightning_fabric import Fabric
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
COUNTS: Counter = Counter()
aten = torch.ops.aten
READS = (aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default)
# A tensor of a GPU takes positions from the host, too, and waits for their copy; not the other way round.
MIXED = (aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default)


class Backend:
    """What torch asks of a device's module."""

    def is_initialized(self):
        return True

    def is_available(self):
        return True

    def current_device(self):
        return 0

    def device_count(self):
        return 1

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        """Random numbers come from the CPU's generator."""

    def get_rng_state(self, device=None):
        return torch.empty(0)

    def set_rng_state(self, state, device=None):
        """See `manual_seed_all`."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
DEVICE = torch.device(NAME, 0)


class PretendTensor(torch.Tensor):
    """A tensor of the device; `on_cpu` holds its values."""

    @staticmethod
    def __new__(cls, on_cpu: torch.Tensor):
        like = {"strides": on_cpu.stride(), "storage_offset": on_cpu.storage_offset(), "dtype": on_cpu.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, on_cpu.shape, **like, device=DEVICE)

    def __init__(self, on_cpu: torch.Tensor):
        self.on_cpu = on_cpu

    def __repr__(self, **_):
        return f"PretendTensor({self.on_cpu})"

    def __format__(self, how):
        return self.item().__format__(how) if self.dim() == 0 else super().__format__(how)

    def __reduce_ex__(self, protocol):
        return rebuilt, (self.on_cpu, self.requires_grad, getattr(self, "_is_param", False))

    def tolist(self):
        COUNTS["reads"] += 1
        return self.on_cpu.tolist()

    def new_tensor(self, data, **how):
        return torch.tensor(data, **{"dtype": self.dtype, "device": self.device, **how})

    # torch reads lists of positions by a way of its own, on the device.
    def __getitem__(self, index):
        return super().__getitem__(positions(index))

    def __setitem__(self, index, value):
        super().__setitem__(positions(index), value)

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return run(operation, args, dict(kwargs or {}))


def run(operation, args, kwargs):
    """The operation on the CPU; its results are tensors of the device."""
    if operation is aten._to_copy.default:
        return copied(operation, args[0], kwargs)
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    here = {id(x.on_cpu): x for x in tensors if isinstance(x, PretendTensor)}
    if operation is aten.copy_.default:
        to, source = args[:2]
        if isinstance(to, PretendTensor) != isinstance(source, PretendTensor):
            COUNTS["to host" if isinstance(source, PretendTensor) else "to device"] += 1
        on_cpu(to).copy_(on_cpu(source))
        return to
    if operation in READS:
        COUNTS["reads"] += 1
    foreign = [tuple(x.shape) for x in tensors if not isinstance(x, PretendTensor) and x.dim() > 0]
    if here and foreign:
        if operation not in MIXED or not isinstance(args[0], PretendTensor):
            raise RuntimeError(f"{operation} on tensors of {NAME} and of the CPU (of shapes {foreign})")
        COUNTS["to device"] += 1
    kwargs = {**kwargs, **({"device": torch.device("cpu")} if "device" in kwargs else {}), "pin_memory": False}
    if not any(argument.name == "pin_memory" for argument in operation._schema.arguments):
        del kwargs["pin_memory"]
    found = operation(*tree_map(on_cpu, args), **tree_map(on_cpu, kwargs))

    # What an operation changes in place comes back as the tensor it was.
    def on_device(x):
        return (here[id(x)] if id(x) in here else PretendTensor(x)) if isinstance(x, torch.Tensor) else x

    return tree_map(on_device, found)


def copied(operation, source, kwargs):
    """`source` on the device that `kwargs` name."""
    target = torch.device(kwargs.get("device") or source.device)
    if target.type != source.device.type:
        COUNTS["to host" if target.type == "cpu" else "to device"] += 1
    kwargs = {**kwargs, "device": torch.device("cpu")}
    kwargs.pop("pin_memory", None)
    found = operation(on_cpu(source), **kwargs)
    return PretendTensor(found) if target.type == NAME else found


def on_cpu(x):
    return x.on_cpu if isinstance(x, PretendTensor) else x


def positions(index):
    """An index with tensors in place of lists."""
    if isinstance(index, tuple):
        return tuple(map(positions, index))
    return torch.tensor(index) if isinstance(index, list) else index


def rebuilt(values: torch.Tensor, requires_grad: bool, is_parameter: bool) -> torch.Tensor:
    """A tensor that was pickled, or saved by `torch.save`: then where `torch.load` is told to put it."""
    home = torch.device(torch._utils._get_restore_location(DEVICE))
    tensor = (PretendTensor(values) if home == DEVICE else values).requires_grad_(requires_grad)
    return torch.nn.Parameter(tensor, requires_grad) if is_parameter else tensor


def made_on_cpu(make):
    """torch's function `make` of Python values, which would not find its way to the device by itself."""

    @wraps(make)
    def there(data, *arguments, device=None, **how):
        if device is None or torch.device(device).type != NAME:
            return make(data, *arguments, device=device, **how)
        return make(data, *arguments, **how).to(DEVICE)

    return there


torch.tensor, torch.as_tensor = made_on_cpu(torch.tensor), made_on_cpu(torch.as_tensor)
torch.serialization.add_safe_globals([rebuilt])
# What is read to the device is read to the CPU first.
torch.serialization.register_package(
    0, lambda storage: None, lambda storage, location: storage if location.startswith(NAME) else None
)


_library = torch.library.Library("_", "IMPL")
_library.fallback(lambda operation, *args, **kwargs: run(operation, args, kwargs), dispatch_key="PrivateUse1")


class PretendFabric(Fabric):
    """Fabric with this device."""

    def __init__(self, **_):
        super().__init__(accelerator="cpu", devices=1)

    @property
    def device(self) -> torch.device:
        return DEVICE
