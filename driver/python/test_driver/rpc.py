"""The socket to the driver process: calls, notifications, frames.

A request is one line of JSON. The answer is any number of lines
{"chunk": N}, each followed by N raw bytes, and then a line with "result" or
"error". A notification gets no answer. Each thread has a connection of its
own, so that there is nothing to lock and no answer to sort.
"""

from __future__ import annotations

import _thread
import os

# Not socket: some 5 ms of import (python3 -X importtime -c 'import socket') for
# names that are not needed here.
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket

from .errors import MachineError, RequestedAssertionFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

# A script's start is part of every test's time, and json, which brings re, is
# some 7 ms of it (as above). So its C parts are used directly, where they are
# as Python 3.9 to 3.14 have them.
try:
    from _json import encode_basestring_ascii as _quote
    from _json import make_scanner

    class _Rules:
        strict = True
        object_hook = object_pairs_hook = parse_constant = array_hook = None
        parse_float = float
        parse_int = int

    _scan = make_scanner(_Rules)  # type: ignore[arg-type]
    if _scan('{"a": [1, null]}', 0)[0] != {"a": [1, None]}:
        raise ImportError("_json does not read JSON")
except (ImportError, AttributeError, TypeError):  # another Python: the slow way
    from json import JSONDecoder
    from json.encoder import encode_basestring_ascii as _quote

    _scan = JSONDecoder().raw_decode

_MAX_LINE = 64 << 20
_MAX_CHUNK = 1 << 30

_ERRORS = {
    "assertion": RequestedAssertionFailed,
    "value": ValueError,
    "type": TypeError,
}  # any other kind is a MachineError


class ConnectionLost(MachineError):
    """The driver can't be reached, went away or spoke nonsense."""


def encode(value: Any) -> str:
    """Returns value as JSON in ASCII. TypeError for what JSON does not have,
    ValueError for infinity and NaN."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if value - value != 0:
            raise ValueError(f"{value!r} can't be sent to the driver")
        return float.__repr__(value)
    if isinstance(value, dict):
        pairs = [f"{_quote(key)}:{encode(item)}" for key, item in value.items()]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([encode(item) for item in value]) + "]"
    raise TypeError(f"{value!r} of type {type(value).__name__} can't be sent to the driver")


def decode(line: bytes) -> dict[str, Any]:
    """Returns the JSON object that line holds, ConnectionLost if it does not."""
    try:
        message, _ = _scan(line.decode("utf-8", "replace").strip(), 0)
    except (ValueError, StopIteration):
        message = None
    if not isinstance(message, dict):
        raise ConnectionLost(f"the driver sent what is no JSON object: {line[:200]!r}")
    return message


def _dial(path: str) -> Socket:
    socket = Socket(AF_UNIX, SOCK_STREAM)
    try:
        socket.connect(path)
    except OSError as e:
        socket.close()
        raise ConnectionLost(f"connecting to the driver at {path!r}: {e}") from None
    return socket


class _Connection:
    """One thread's connection and the bytes read ahead from it."""

    def __init__(self, socket: Socket) -> None:
        self.process = os.getpid()
        self.unsettled = False  # a notification was sent and no call since
        self._ahead = bytearray()
        self._socket = socket

    def close(self) -> None:
        self._socket.close()

    def __del__(self) -> None:  # its thread has ended
        self.close()

    def send(self, line: str) -> None:
        try:
            self._socket.sendall(line.encode("ascii"))
        except OSError as e:
            raise ConnectionLost(f"sending to the driver: {e}") from None

    def line(self) -> bytes:
        """Returns the next line without its end."""
        ahead = self._ahead
        end = ahead.find(b"\n")
        while end < 0:
            seen = len(ahead)
            if seen > _MAX_LINE:
                raise ConnectionLost(f"the driver sent a line of more than {_MAX_LINE} bytes")
            ahead += self._some(self._receive(65536))
            end = ahead.find(b"\n", seen)
        line = bytes(ahead[:end])
        del ahead[: end + 1]
        return line

    def exactly(self, size: int) -> bytearray:
        """Returns the next size bytes."""
        block = bytearray(size)
        have = min(size, len(self._ahead))
        block[:have] = self._ahead[:have]
        del self._ahead[:have]
        with memoryview(block) as view:
            while have < size:
                with view[have:] as rest:
                    have += self._some(self._receive(rest))
        return block

    def _receive(self, into: Any) -> Any:
        try:
            return self._socket.recv(into) if isinstance(into, int) else self._socket.recv_into(into)
        except OSError as e:
            raise ConnectionLost(f"receiving from the driver: {e}") from None

    @staticmethod
    def _some(received: Any) -> Any:
        if not received:
            raise ConnectionLost("the driver closed the connection")
        return received


class Rpc:
    """Calls to the driver, from any thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = _thread._local()

    def call(self, method: str, params: dict[str, Any]) -> Any:
        """Returns the result. An error of the driver is raised as what its
        kind says, MachineError if nothing else."""
        return self.call_output(method, params)[0]

    def call_output(self, method: str, params: dict[str, Any]) -> tuple[Any, bytes]:
        """Like call; returns the bytes of the chunks too."""
        request = f'{{"method":{_quote(method)},"params":{encode(params)}}}\n'
        connection = self._connection()
        try:
            connection.send(request)
            reply, output = self._reply(connection)
            connection.unsettled = False
        except BaseException:
            # A lost answer, as after KeyboardInterrupt, would be taken for
            # that of the next call. Closing tells the driver to stop, too.
            self.disconnect()
            raise
        error = reply.get("error")
        if error is None:
            return reply.get("result"), output
        kind = error.get("kind") if isinstance(error, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        raise _ERRORS.get(str(kind), MachineError)(str(message))

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Sends without waiting; the driver heeds the order in a thread."""
        request = f'{{"method":{_quote(method)},"notify":true,"params":{encode(params)}}}\n'
        connection = self._connection()
        try:
            connection.send(request)
            connection.unsettled = True
        except BaseException:
            self.disconnect()
            raise

    def settle(self) -> None:
        """Returns when the driver has dealt with this thread's notifications."""
        connection: Optional[_Connection] = self._threads.__dict__.get("connection")
        if connection is not None and connection.unsettled:
            try:
                self.call("sync", {})
            except MachineError:
                pass  # it is for the next call to say so

    def disconnect(self) -> None:
        """Closes this thread's connection; the next call opens a new one."""
        connection: Optional[_Connection] = self._threads.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _reply(self, connection: _Connection) -> tuple[dict[str, Any], bytes]:
        chunks = []
        while True:
            reply = decode(connection.line())
            size = reply.get("chunk")
            if size is None:
                if "result" not in reply and "error" not in reply:
                    raise ConnectionLost(f"the driver's reply has no result: {reply!r:.200}")
                return reply, chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if type(size) is not int or not 0 <= size <= _MAX_CHUNK:
                raise ConnectionLost(f"the driver announced a chunk of {size!r} bytes")
            chunks.append(connection.exactly(size))

    def _connection(self) -> _Connection:
        connection: Optional[_Connection] = getattr(self._threads, "connection", None)
        # After a fork the connection is the parent's.
        if connection is None or connection.process != os.getpid():
            connection = self._threads.connection = _Connection(_dial(self._path))
        return connection
