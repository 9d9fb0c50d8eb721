"""connections.py: one client's socket -> what it sent, what it is to get, and until when."""

import socket
import struct
from typing import Any, Final

from service.server.admission import Admitted
from service.server.incoming import Heads, Incoming
from service.server.outgoing import Outgoing

END_SECONDS: Final = 2.0  # that a client gets to read its last answer
_BLOCK: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # linger: on, no seconds


class Connection:
    """All that the worker knows of one connection.

    body_bytes: of a request's body at most. unread_bytes: of answers that may wait for the client.
    """

    def __init__(
        self,
        heads: Heads,
        sock: socket.socket,
        client: Any,
        server: Any,
        body_bytes: int,
        unread_bytes: int,
    ) -> None:
        sock.setblocking(False)
        self.socket, self.client, self.server = sock, client, server
        self.incoming = Incoming(heads, client, body_bytes)
        self.sock = Outgoing(sock, unread_bytes)  # under the name that gunicorn writes to
        self.caller = self.address = str(client[0]) if client else ""  # whose bytes these are
        self.watched = 0  # the events that the main loop waits for; 0 while it is answered
        self.polled = 0  # the events that the poller looks for, also while it is answered
        self.until = 0.0  # on `time.monotonic`: then it is closed, if nothing has come of it
        self.counted = 0  # bytes held that the worker has counted
        self.waited = False  # whether its search has waited for the encoder
        self.arrived = 0.0  # on `time.perf_counter`: when the request had come
        self.admitted: Admitted | None = None  # of a request that was let in by the gate
        self.asked = False  # a whole request has come on it
        self.goes_on = True  # after the answer that is being sent
        self.ending = False  # answered, and only read until the client hangs up
        self.end_seconds = END_SECONDS

    @property
    def unread(self) -> int:
        """Bytes that wait for the client."""
        return len(self.sock.waiting)

    def read(self) -> bool:
        """Take what is there; False when the client hung up."""
        try:
            block = self.socket.recv(_BLOCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not self.ending:
            self.incoming.add(block)
        return bool(block)

    def end(self) -> bool:
        """Say that no more will come; False when the client is gone already.

        Closing at once would throw away an answer that the client has not read.
        """
        self.ending = True
        self.incoming.drop()
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return not self.sock.broken

    def close(self) -> None:
        """For good. With an answer half sent it is reset: the kernel would keep the rest for a
        client that does not read, and the client could take what it has for the whole."""
        if self.unread or self.sock.broken:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.drop()
        self.incoming.drop()
        self.socket.close()
