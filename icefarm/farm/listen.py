"""Where a farm listens: checked before anything starts, so that a mistake shows at once."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import ssl
from pathlib import Path

from attrs import define

from icefarm.farm.errors import CannotStart
from icefarm.farm.router.config import Address

__all__ = ["HeldAddress", "check_certificate", "is_loopback", "public_url"]


#: Ports that are tried for a router that listens next to another one.
NEXT_PORTS = 100


@define(eq=False)
class HeldAddress:
    """An address to listen at, checked, and kept for the program that is going to listen there.

    While it is held, the system gives its port to nobody who asks for any free one: not to a server, not to an outgoing
    connection. A program that asks for this very port, with SO_REUSEADDR as servers do, gets it.
    """

    address: Address
    _socket: socket.socket

    @classmethod
    def hold(cls, host: str, port: int) -> HeldAddress:
        """Hold an address, with a port of the system's choice for 0.

        A name is resolved to its address. Raises `CannotStart` if the address can't be used.
        """
        try:
            family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        except socket.gaierror as error:
            raise CannotStart(f"cannot listen at {host}: {error.strerror}; see --listen") from None
        held = _reusable(family)
        try:
            held.bind(found)
            address = held.getsockname()
            # One that listens would be in the way of the program.
            with _reusable(family) as probe:
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            held.close()
            raise CannotStart(_why_not(host, port, error)) from None
        return cls((str(address[0]), int(address[1])), held)

    @classmethod
    def hold_next(cls, host: str, port: int) -> HeldAddress:
        """Hold the first free port from one on; with port 0, any.  Raises `CannotStart` if there is none near it."""
        refusal = ""
        for number in range(port, min(port + NEXT_PORTS, 65536)) if port else (0,):
            try:
                return cls.hold(host, number)
            except CannotStart as error:
                refusal = f": {error}"
        raise CannotStart(f"no port from {port} on is free for another router{refusal}")

    def release(self) -> None:
        """Hold it no longer.  Harmless when it is not held."""
        self._socket.close()


def _reusable(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    # As the router does, so that an address with lingering old connections can be used.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _why_not(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} is in use; stop what listens there, or choose another one: --listen {host}:PORT"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this host; see --listen"
        case errno.EACCES:
            return f"you may not listen at port {port}; choose one above 1023: --listen {host}:PORT"
    return f"cannot listen at {host}:{port}: {os.strerror(error.errno or 0)}; see --listen"


def is_loopback(host: str) -> bool:
    """Tell whether only this host itself can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def public_url(address: Address, tls: bool) -> str:
    """Return the URL for users.  A wildcard address becomes the host's name."""
    host, port = address
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    elif ":" in host:
        host = f"[{host}]"
    return f"{'https' if tls else 'http'}://{host}:{port}"


def check_certificate(certificate: Path | None, key: Path | None) -> None:
    """Check that a certificate and its key can be used.  Raises `CannotStart`."""
    if (certificate is None) != (key is None):
        raise CannotStart("a certificate and its key belong together: --tls-certificate FILE --tls-key FILE")
    if certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        # OpenSSL gives no reason where a file holds no PEM at all.
        why = f": {error.reason}" if error.reason else ", or hold something else"
        raise CannotStart(f"{certificate} and {key} are not a certificate and its key in PEM form{why}") from None
    except OSError as error:
        raise CannotStart(f"cannot read {certificate} or {key}: {error.strerror}") from None
    except ValueError:
        raise CannotStart(f"the key {key} has a password; remove it first") from None


def _no_password() -> str:
    """Asked for a password: without this, OpenSSL would ask at the terminal."""
    raise ValueError
