"""The file of certificates to trust, before any connection: it is readable, and has certificates that OpenSSL reads."""

from __future__ import annotations

import re
import ssl

from icefarm.errors import InvalidArgument

__all__ = ["check_certificates", "pem_certificates"]

#: One certificate in a file in PEM form (RFC 7468).
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def pem_certificates(path: str) -> list[bytes]:
    """Return the certificates of a file, each in PEM form.  Raises `InvalidArgument` if it has none."""
    try:
        with open(path, "rb") as file:
            found = _CERTIFICATE.findall(file.read())
    except OSError as error:
        raise InvalidArgument(f"cannot read the trusted certificates in {path}: {error.strerror}") from None
    if not found:
        raise InvalidArgument(f"{path} holds no certificate in PEM form (BEGIN CERTIFICATE)")
    return found


def check_certificates(path: str) -> ssl.SSLContext:
    """Return a context that trusts the certificates in a file, and no others.  Raises `InvalidArgument`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        for each in pem_certificates(path):
            context.load_verify_locations(cadata=each.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise InvalidArgument(f"{path} holds a damaged certificate") from None
    return context
