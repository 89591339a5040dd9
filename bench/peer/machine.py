"""A container: its processes, and what a test asks of it."""

import os
import re
import shutil
import socket
import subprocess
import threading
import time


class RequestedAssertionFailed(Exception):
    pass


def retry(try_, timeout=900):
    """Calls try_ once a second until it returns true."""
    start = time.monotonic()
    while time.monotonic() - start < timeout:
        if try_():
            return
        time.sleep(1)
    if not try_():
        raise RequestedAssertionFailed(f"action timed out after {time.monotonic() - start:.2f} seconds")


class Machine:
    def __init__(self, name, start_script, tmp, logger):
        self.name = name
        self.start_script = start_script
        self.logger = logger
        # Made beforehand, off the clock.
        self.state_dir = f"{tmp}/vm-state-{name}"
        self.shared_dir = f"{tmp}/shared-xchg"
        os.makedirs(self.shared_dir, mode=0o700, exist_ok=True)
        self.notify_path = f"{tmp}/{name}.notify"
        self.process = None
        self.leader = None

    def log(self, message):
        self.logger.log(message, self.name)

    def nested(self, message):
        return self.logger.nested(message, self.name)

    # Life

    def start(self):
        if self.process is not None:
            return
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.notify_path)
        self.process = subprocess.Popen(
            [self.start_script],
            env={
                "PATH": os.environ["PATH"],
                "NOTIFY_SOCKET": self.notify_path,
                "RUN_NSPAWN_ROOT_DIR": self.state_dir,
                "RUN_NSPAWN_SHARED_DIR": self.shared_dir,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.log(f"systemd-nspawn running (pid {self.process.pid})")
        for thread in (self.stream_console, self.stream_journal):
            threading.Thread(target=thread, daemon=True).start()

    def stream_console(self):
        for line in self.process.stdout:
            self.log(line.decode(errors="replace").rstrip())

    def stream_journal(self):
        path = f"{self.state_dir}/var/log/journal"
        for _ in range(10):
            if os.path.exists(path):
                break
            time.sleep(1)
        else:
            self.log(f"{path} never appeared")
            return
        while (process := self.process) is not None and process.poll() is None:
            with subprocess.Popen(
                ["journalctl", "-f", "-D", path, "-o", "short-monotonic"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                bufsize=1,
            ) as journal:
                for line in iter(journal.stdout.readline, ""):
                    self.logger.log_serial(line.rstrip(), self.name)
                journal.terminate()
            time.sleep(1)

    def connect(self):
        """Waits until the container's systemd says that it is up."""
        self.start()
        if self.leader is not None:
            return
        leader = None
        while True:
            message = self.notify.recv(4096).decode()
            if match := re.search(r"^X_NSPAWN_LEADER_PID=(\d+)$", message, re.M):
                leader = match[1]
            if re.search(r"^READY=1$", message, re.M):
                break
        self.leader = leader
        # A full queue would stop systemd-nspawn.
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        while True:
            self.notify.recv(65536)

    def is_up(self):
        return self.process is not None

    def release(self):
        if self.process is None:
            return
        self.log(f"kill machine (pid {self.process.pid})")
        process, self.process = self.process, None
        process.terminate()

    # Commands

    def execute(self, command, timeout=900):
        self.connect()
        done = subprocess.run(
            [
                shutil.which("nsenter"),
                "--target", self.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                # Debian's sh does not know `source`.
                "/bin/bash", "-c", f"set -eo pipefail; source /etc/profile; set -u; {command}",
            ],
            env={},
            timeout=timeout,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        return done.returncode, done.stdout

    def succeed(self, *commands, timeout=None):
        output = ""
        for command in commands:
            with self.nested(f"must succeed: {command}"):
                status, out = self.execute(command, timeout=timeout)
                if status != 0:
                    self.log(f"output: {out}")
                    raise RequestedAssertionFailed(f"command `{command}` failed (exit code {status})")
                output += out
        return output

    def systemctl(self, words):
        return self.execute(f"systemctl {words}")

    # Units

    def get_unit_property(self, unit, name):
        status, lines = self.systemctl(f'--no-pager show "{unit}" --property="{name}"')
        match = re.match(r"^([^=]+)=(.*)$", lines)
        if status != 0 or not match:
            raise RequestedAssertionFailed(f'retrieving property "{name}" of unit "{unit}": {lines}')
        return match[2]

    def wait_for_unit(self, unit, timeout=900):
        def is_active():
            state = self.get_unit_property(unit, "ActiveState")
            if state == "failed":
                raise RequestedAssertionFailed(f'unit "{unit}" reached state "{state}"')
            if state == "inactive":
                _, jobs = self.systemctl("list-jobs --full 2>&1")
                if "No jobs" in jobs and self.get_unit_property(unit, "ActiveState") == state:
                    raise RequestedAssertionFailed(f'unit "{unit}" is inactive and there are no pending jobs')
            return state == "active"

        with self.nested(f"waiting for unit {unit}"):
            retry(is_active, timeout)
