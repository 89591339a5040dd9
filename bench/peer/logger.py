"""Log lines on standard error, and as XML in $LOGFILE, as nixpkgs' builds have it."""

import contextlib
import os
import queue
import sys
import time
import unicodedata
from xml.sax.saxutils import XMLGenerator

GREEN, DIM, RESET = "\033[1m\033[32m", "\033[2m", "\033[0m"


class XMLLog:
    def __init__(self, path):
        self.xml = XMLGenerator(open(path, "wb"), encoding="utf-8")
        self.xml.startDocument()
        self.xml.startElement("logfile", {})
        # Lines of machines come from threads; they wait for one of the script.
        self.waiting = queue.Queue()

    def line(self, message, attributes):
        self.xml.startElement("line", attributes)
        self.xml.characters(message)
        self.xml.endElement("line")

    def drain(self):
        with contextlib.suppress(queue.Empty):
            while True:
                message, machine = self.waiting.get_nowait()
                text = "".join(c for c in message if unicodedata.category(c)[0] != "C")
                self.line(text, {"machine": machine, "type": "serial"})

    def log(self, message, machine):
        self.drain()
        self.line(message, {"machine": machine} if machine else {})


class Logger:
    def __init__(self):
        self.xml = XMLLog(os.environ["LOGFILE"])

    def log(self, message, machine=None):
        print(f"{machine}: {message}" if machine else message, file=sys.stderr)
        self.xml.log(message, machine)

    def log_serial(self, message, machine):
        print(f"{DIM}{machine} # {message}{RESET}", file=sys.stderr)
        self.xml.waiting.put((message, machine))

    @contextlib.contextmanager
    def nested(self, message, machine=None):
        self.log(f"{GREEN}{message}{RESET}", machine)
        start = time.time()
        yield
        self.log(f"(finished: {message}, in {time.time() - start:.2f} seconds)", machine)

    def subtest(self, name):
        return self.nested(f"subtest: {name}")
