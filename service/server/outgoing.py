"""outgoing.py: the bytes of an answer -> a client's socket, as fast as it reads, never waiting.

A thread that computes an answer writes here, and what the kernel does not take at once is left for
the worker's main loop.
"""

import errno
import socket
from typing import Final

_BLOCK: Final = 65_536  # of an answer that is gathered before it is sent


class Outgoing:
    """Stands where gunicorn expects the socket. most: bytes that may wait for the client."""

    def __init__(self, sock: socket.socket, most: int) -> None:
        self._sock, self._most = sock, most
        self.waiting = bytearray()
        self.broken = False  # the client is gone, or does not read

    def sendall(self, data: bytes) -> None:
        """Part of an answer. OSError when nobody will read it."""
        self.waiting += data
        if len(self.waiting) >= _BLOCK:
            self.flush()
            if len(self.waiting) > self._most:
                self.drop()
            if self.broken:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the client does not read")

    def flush(self) -> bool:
        """Send what the kernel takes; whether it took any."""
        if not self.waiting or self.broken:
            return False
        try:
            sent = self._sock.send(self.waiting)
        except BlockingIOError:
            return False
        except OSError:
            self.drop()
            return False
        del self.waiting[:sent]
        return sent > 0

    def drop(self) -> None:
        """Nothing more of this will be sent."""
        self.broken = True
        self.waiting.clear()

    def shutdown(self, _how: int) -> None:
        """What gunicorn does after half an answer; the main loop ends connections itself."""
        raise OSError(errno.ENOTCONN, "not from a thread")

    def close(self) -> None:
        """The same."""
