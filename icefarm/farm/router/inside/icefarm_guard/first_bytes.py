"""What a connection begins with, as far as the router is particular about it: what it speaks, its address, its host."""

from __future__ import annotations

import re

from attrs import define

__all__ = ["BAD_REQUEST", "FirstBytes"]

#: The header that says which host a request is for, with the lines that go on with it, and what it may hold (RFC 9110,
#: section 7.2): one line.
_HOSTS = re.compile(rb"\nhost[ \t]*:[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE)
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?[ \t]*")
#: Bytes of a request's headers; what a connection begins with that does not speak HTTP; and the answer to others.
LONGEST_HEAD = 64 * 1024
_NOT_HTTP = (b"\x7f", b"\x10")
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@define(eq=False)
class FirstBytes:
    """Looks at what arrives until the headers of a request are whole, or until it is known to speak no HTTP."""

    #: The headers so far; None: they are whole, or there are none.
    _head: bytes | None = b""
    #: The connection's first line, until it is whole.
    _line: bytes = b""

    @property
    def go_on(self) -> bool:
        """Whether there is something to look at still."""
        return self._head is not None

    def expect_request(self) -> None:
        """A request has been read: another may come."""
        self._head = b""

    def is_unknown(self, piece: bytes) -> bool:
        """Tell whether a connection begins with what none of the router's protocols begins with, such as TLS."""
        return not self._head and piece[:1] not in _NOT_HTTP and not piece[:1].isalpha()

    def is_addressed(self, piece: bytes, is_http: bool) -> bool:
        """Tell whether a request names its host as it must, as far as it has arrived.

        ``is_http``: the router knows already that the connection speaks HTTP.
        """
        assert self._head is not None
        if not self._head and not is_http and piece[:1] in _NOT_HTTP:
            self._head = None
            return True
        self._head += piece
        head, end, _ = self._head.partition(b"\r\n\r\n")
        # The router lets an empty line pass before a request, and takes the address of a request for ASCII.
        line, whole, _ = head.removeprefix(b"\r\n").partition(b"\r\n")
        if (whole or end) and not line.isascii():
            return False
        if not end:
            return len(self._head) <= LONGEST_HEAD
        self._head = None
        hosts = _HOSTS.findall(head)
        return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None

    def whole_line(self, piece: bytes, is_known: bool) -> bytes:
        """Return what the router may read: it takes what it gets of a connection's first line for the whole line.

        ``is_known``: it has read that line, and knows what the connection speaks.
        """
        self._line += piece
        if self._head is not None and not is_known and b"\r\n" not in self._line:
            return b""
        piece, self._line = self._line, b""
        return piece
