"""TLS to the farm: which certificates are trusted, and in plain words why one is not."""

from __future__ import annotations

import ipaddress
from typing import Any

from attrs import frozen
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from icefarm.errors import InvalidArgument, LinkLost, Untrusted, WrongProtocol
from icefarm.wamp.ca_file import pem_certificates

__all__ = ["FarmCertificate", "TlsEndpoint", "certificates_in"]

#: Why OpenSSL refuses a certificate: numbers of openssl/x509_vfy.h, X509_V_ERR_*.
_REASONS = {
    9: "is not valid yet; see the clocks of both hosts",
    10: "has expired",
    18: "is self-signed",
    19: "was issued by an authority that is not trusted here",
    20: "was issued by an authority that is not trusted here",
    21: "was issued by an authority that is not trusted here",
    24: "was issued by a certificate that may not issue any",
}
#: Trusting another file would cure these.
_UNKNOWN_ISSUER = (18, 19, 20, 21)


@frozen
class _Refusal:
    """Why OpenSSL refuses a certificate: the error's number, and the depth in the chain; 0 is the farm's own."""

    reason: int
    depth: int


def certificates_in(path: str) -> list[Certificate]:
    """Read the certificates of a file in PEM form.  Raises `InvalidArgument` if it can't be read or has none."""
    try:
        return [Certificate.loadPEM(text) for text in pem_certificates(path)]
    except (crypto.Error, ValueError):
        raise InvalidArgument(f"{path} holds a damaged certificate") from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@implementer(IOpenSSLClientConnectionCreator)
class FarmCertificate:
    """Accepts the certificate of one host if a trusted authority issued it, and notes why it refuses one.

    ``ca_file``: trust only the certificates in this PEM file, a farm's self-signed one or those of the lab's own
    authority; None: trust what the system trusts (OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR count).
    Raises `InvalidArgument`.
    """

    def __init__(self, host: str, ca_file: str | None) -> None:
        trusted = None if ca_file is None else trustRootFromCertificates(certificates_in(ca_file))
        self._host = host
        self._identity = IPAddress_ID(host) if _is_address(host) else DNS_ID(host)
        self._options: Any = optionsForClientTLS(host, trustRoot=trusted)
        self._refusal: _Refusal | None = None
        self._of_another_host = False
        #: The other side has shown a certificate.
        self._judged = False

    @property
    def was_shown(self) -> bool:
        """Whether the other side has shown a certificate, trusted or not."""
        return self._judged

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return a connection that notes why it refuses a certificate; see `IOpenSSLClientConnectionCreator`."""
        connection: SSL.Connection = self._options.clientConnectionForTLS(protocol)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._judge)
        return connection

    def _judge(self, _: object, certificate: crypto.X509, reason: int, depth: int, good: int) -> bool:
        """Judge one certificate of the chain, after OpenSSL; this replaces Twisted's own callback.

        The error of a handshake says only that a certificate was refused, so the reason is noted here.
        """
        self._judged = True
        if not good:
            self._refusal = _Refusal(reason, depth)
            return False
        if depth > 0:
            return True
        try:
            verify_service_identity(extract_patterns(certificate), [self._identity], [])
        except (VerificationError, CertificateError):
            self._of_another_host = True
            return False
        return True

    def explain(self, url: str, reason: BaseException | None) -> LinkLost:
        """Return why a connection to ``url`` ended before there was a session on it."""
        if self._refusal is not None:
            return _untrusted(url, self._refusal)
        if self._of_another_host:
            return Untrusted(
                f"the certificate shown at {url} is for another host: it does not name {self._host}; use a name "
                "that it has, or give the farm a certificate for this one",
                url=url,
            )
        match reason:
            case SSL.Error() if "wrong version number" in str(reason) or "record layer" in str(reason):
                return self._no_tls(url)
            case SSL.Error():
                return LinkLost(f"TLS with {url} failed: {_words(reason)}")
        if not self._judged:
            return self._no_tls(url)
        return LinkLost(f"what listens at {url} closed the connection; is it a farm?")

    def _no_tls(self, url: str) -> WrongProtocol:
        return WrongProtocol(f"what listens at {url} speaks no TLS; write the URL with http:// (or ws://)", url=url)


def _untrusted(url: str, refusal: _Refusal) -> Untrusted:
    unknown = refusal.reason in _UNKNOWN_ISSUER
    whose = "the certificate" if refusal.depth == 0 or unknown else "an issuer of the certificate"
    why = _REASONS.get(refusal.reason, f"is refused by OpenSSL (error {refusal.reason})")
    cure = "; name the file of the certificate to trust with ICEFARM_CA_FILE or --ca-file" if unknown else ""
    return Untrusted(f"{whose} shown at {url} {why}{cure}", url=url)


def _words(error: BaseException) -> str:
    """Return OpenSSL's last reason: its errors are lists of (library, function, reason)."""
    entries = error.args[0] if error.args else None
    if isinstance(entries, list) and entries:
        return str(entries[-1][-1])
    return str(error) or type(error).__name__


@frozen
class TlsEndpoint:
    """Connects by TLS.

    Twisted's own `wrapClientTLS` delays writes with the global reactor, which does not run in a blocking client.
    """

    _reactor: Any
    _certificate: FarmCertificate
    _endpoint: Any

    def connect(self, factory: Any) -> Deferred[Any]:
        """As `IStreamClientEndpoint.connect`."""
        certificate: Any = self._certificate
        wrapped = TLSMemoryBIOFactory(certificate, True, factory, clock=self._reactor)
        connected: Deferred[Any] = self._endpoint.connect(wrapped)
        return connected.addCallback(lambda protocol: protocol.wrappedProtocol)
