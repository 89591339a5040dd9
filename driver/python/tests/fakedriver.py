"""A made-up driver: the other end of the socket, in this process.

It is right here, where the real one would need machines: what is tested is
the Python side alone, down to the bytes on the wire.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Any, Callable, Optional

PYTHON_SIDE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Failure(Exception):
    """What a handler raises to answer with an error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Output:
    """What a handler returns to answer with chunks before the result."""

    def __init__(self, result: Any, *chunks: bytes) -> None:
        self.result = result
        self.chunks = chunks


class FakeDriver:
    """Answers by handlers, method name to function of the parameters, and
    remembers every request, per connection and over all."""

    def __init__(self, **hello: Any) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="nestbox-py-")
        self.path = os.path.join(self.directory.name, "socket")
        self.requests: list[dict[str, Any]] = []
        self.connections: list[list[dict[str, Any]]] = []
        self.open_connections = 0
        self.handlers: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.hello: dict[str, Any] = {
            "machines": [machine("one"), machine("two")],
            "vlans": [1],
            "out_dir": self.directory.name,
            "tmp_dir": "/tmp/driver",
            "test_script": os.path.join(self.directory.name, "script.py"),
            "interactive": False,
            "keep_machine_state": False,
            "global_timeout": 3600,
            "log_level": "info",
            **hello,
        }
        self.handlers["hello"] = lambda params: self.hello
        self._lock = threading.Condition()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FakeDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.stop_listening()
        self.directory.cleanup()

    def stop_listening(self) -> None:
        try:
            # Closing alone would leave the accept that waits in _accept.
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # done before
        self._listener.close()

    def methods(self) -> list[str]:
        """The methods of all requests, in order."""
        with self._lock:
            return [request["method"] for request in self.requests]

    def lines(self, level: str) -> list[str]:
        """The messages logged at level."""
        with self._lock:
            logged = [r["params"] for r in self.requests if r["method"] == "log"]
        return [params["message"] for params in logged if params["level"] == level]

    def params(self, method: str) -> list[dict[str, Any]]:
        """The parameters of each request of method."""
        with self._lock:
            return [r["params"] for r in self.requests if r["method"] == method]

    def wait_until(self, what: Callable[[], bool], seconds: float = 10) -> bool:
        """Waits until what() is true, which a request may bring about."""
        with self._lock:
            return self._lock.wait_for(what, seconds)

    def run_script(
        self, script: str, *, python: Optional[str] = None, timeout: float = 60, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs nestbox_main.py with script as the test script."""
        with open(self.hello["test_script"], "w", encoding="utf-8") as file:
            file.write(script)
        environment = {**os.environ, "NESTBOX_SOCKET": self.path, **more.pop("env", {})}
        if "input" not in more:
            more["stdin"] = subprocess.DEVNULL
        return subprocess.run(
            [python or sys.executable, "-B", os.path.join(PYTHON_SIDE, "nestbox_main.py")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=timeout,
            **more,
        )

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        mine: list[dict[str, Any]] = []
        with self._lock:
            self.connections.append(mine)
            self.open_connections += 1
        try:
            with connection, connection.makefile("rwb") as stream:
                for line in stream:
                    request = json.loads(line)
                    with self._lock:
                        mine.append(request)
                        self.requests.append(request)
                        self._lock.notify_all()
                    if not request.get("notify"):
                        self._answer(stream, request)
        except OSError:
            pass  # the other side has gone
        with self._lock:
            self.open_connections -= 1
            self._lock.notify_all()

    def _answer(self, stream: Any, request: dict[str, Any]) -> None:
        handler = self.handlers.get(request["method"], lambda params: {})
        try:
            answer = handler(request["params"])
        except Failure as e:
            answer = {"error": {"kind": e.kind, "message": str(e)}}
        else:
            if isinstance(answer, bytes):  # the wire itself
                stream.write(answer)
                stream.flush()
                return
            if isinstance(answer, Output):
                for chunk in answer.chunks:
                    stream.write(json.dumps({"chunk": len(chunk)}).encode() + b"\n" + chunk)
                answer = answer.result
            answer = {"result": answer}
        stream.write(json.dumps(answer).encode() + b"\n")
        stream.flush()


def machine(name: str, kind: str = "container") -> dict[str, Any]:
    """What hello says of a machine."""
    return {
        "name": name,
        "kind": kind,
        "state_dir": f"/tmp/driver/vm-state-{name}",
        "shared_dir": "/tmp/driver/shared-xchg",
    }
