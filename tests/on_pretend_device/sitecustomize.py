"""Python starts with this when the folder is on PYTHONPATH: `make_fabric` then gives the pretend device.

No connection leaves this machine, as with tests/offline.
"""

import os
import runpy
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.append(str(TESTS))
runpy.run_path(str(TESTS / "offline" / "sitecustomize.py"))


class AfterImport(MetaPathFinder, Loader):
    """Changes medsynth_lib.devices right after it was imported, so that processes without torch stay without it."""

    def find_spec(self, name, path, target=None):
        if name != "medsynth_lib.devices":
            return None
        spec = PathFinder.find_spec(name, path)
        self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        from pretend_device import PretendFabric

        module.make_fabric = lambda device="auto": PretendFabric()


if not os.environ.get("MEDSYNTH_NO_PRETENCE"):
    sys.meta_path.insert(0, AfterImport())
