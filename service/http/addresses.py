"""addresses.py: a host and a port -> a listening socket, or why there can be none."""

import errno
import ipaddress
import socket
from typing import Final

from indexes.errors import Failure

BACKLOG: Final = 1024
_ENDED_BY: Final = {
    errno.EADDRINUSE: "something else listens there",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EACCES: "that port needs more rights",
}
Address = tuple[socket.AddressFamily, tuple[str, int]]


class CannotListen(Failure):
    """The address cannot be listened on, or must not."""

    code = "cannot_listen"


def address_of(host: str, port: int) -> Address:
    """Where to listen; CannotListen when the host is none."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CannotListen(
            f"serve.host is {host!r}, which is no address: {error.strerror}.", field="serve.host"
        ) from None
    return family, (str(address[0]), int(address[1]))


def listen(host: str, port: int, known: Address | None = None) -> socket.socket:
    """A listening socket; CannotListen says what is in the way."""
    family, address = known or address_of(host, port)
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        reason = _ENDED_BY.get(error.errno or 0, error.strerror)
        raise CannotListen(
            f"Cannot listen on {host}:{port}: {reason}.",
            field="serve.port",
            hint="Choose another with --port; --port 0 takes a free one.",
        ) from None


def is_loopback(host: str) -> bool:
    """Whether this address, or every address of this name, is this machine's own loopback."""
    try:
        addresses = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in addresses)


def url_of(listener: socket.socket) -> str:
    """Where the service answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
