"""`check_free`: whether the page can be served at a host and port."""

from __future__ import annotations

import errno
import os
import socket


def check_free(host: str, port: int) -> None:
    """Raise OSError, in plain words, where nothing can be served at this host and port."""
    if not 0 < port < 2**16:
        raise OSError(f"There is no port {port}: please give one from 1 to {2**16 - 1}.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as tried:
            if os.name == "posix":  # elsewhere it would share a port that is in use
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"Port {port} is in use: please give another with --port.") from None
        raise OSError(f"Nothing can be served at {host}: {error.strerror}.") from None
