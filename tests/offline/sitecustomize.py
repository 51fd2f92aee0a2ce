"""Python imports this at start-up when the folder is on PYTHONPATH: connections beyond this machine are refused."""

import socket

LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
_connect = socket.socket.connect


def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOCAL):
        raise OSError(f"tests run offline, but something tried to connect to {address}")
    return _connect(self, address)


socket.socket.connect = connect
