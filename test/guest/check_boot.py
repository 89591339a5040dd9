"""check_boot.py REPORT SCRIPT...: starts each script, waits until all systems
are up, asks each what failed, and stops them. Exits 1 when anything is wrong."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

DEADLINE = 20


class Machine:
    def __init__(self, script):
        self.name = re.fullmatch(r"run-(.*)-nspawn", os.path.basename(script))[1]
        self.dir = f"/build/{self.name}"
        os.mkdir(self.dir)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(f"{self.dir}/notify")
        self.notify.settimeout(DEADLINE)
        self.console = open(f"{self.dir}/console", "w+b")
        # A cgroup each: in a shared one a guest's systemd removes, and at its
        # end kills, what is its neighbour's.
        self.cgroup = cgroup = f"/sys/fs/cgroup/{self.name}"
        os.mkdir(cgroup)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            ["sh", "-c", f"echo $$ >{cgroup}/cgroup.procs; exec {script}"],
            env={**os.environ, "NOTIFY_SOCKET": f"{self.dir}/notify", "RUN_NSPAWN_ROOT_DIR": f"{self.dir}/root"},
            stdin=subprocess.DEVNULL,
            stdout=self.console,
            stderr=subprocess.STDOUT,
        )

    def wait_ready(self):
        """Returns after how many seconds systemd said that it was up."""
        while True:
            message = self.notify.recv(4096).decode()
            if match := re.search(r"^X_NSPAWN_LEADER_PID=(\d+)$", message, re.M):
                self.leader = match[1]
            if re.search(r"^READY=1$", message, re.M):
                break
        ready = time.monotonic() - self.started
        # Kept empty from here on: a full queue would block the container.
        self.notify.settimeout(None)
        threading.Thread(target=self.drain, daemon=True).start()
        return ready

    def cpu_seconds(self):
        """Returns what it and its container manager have used so far."""
        with open(f"{self.cgroup}/cpu.stat") as file:
            return int(file.readline().split()[1]) / 1e6

    def drain(self):
        while True:
            self.notify.recv(65536)

    def run(self, command):
        return subprocess.run(
            ["nsenter", "--target", self.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
             "--root", "--wdns=/", "--", "/bin/bash", "-c", f"source /etc/profile; {command}"],
            env={}, capture_output=True, text=True, timeout=DEADLINE,
        )  # fmt: skip

    def console_tail(self):
        self.console.seek(0)
        text = self.console.read().decode(errors="replace")
        # Nix drops what stands before a carriage return.
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[\]P][^\x07\x1b]*(\x07|\x1b\\)|.)|\r", "", text)[-8000:]


# What each machine is asked, and what its answer has to contain.
CHECKS = {
    "systemctl is-system-running --wait": "running",
    "systemctl --failed --no-legend --plain | wc -l": "0",
    "journalctl -b -u suid-sgid-wrappers --no-pager -o cat": "",
    "readlink /run/current-system": "/nix/store/",
    "readlink /etc/hosts": "/etc/static/hosts",
    "stat -c %t -f /run/keys; stat -c %a:%g /run/keys": "858458f6\n750:96",
    "stat -c %a /var/empty": "555",
    "findmnt -n -o OPTIONS /nix/store": "ro",
    "cat /run/nixos-like/activated": "by tmpfiles",
    "hostname": "",
    "cat /run/log/stage-2-init.log": "running activation script...",
    "grep failed /run/log/stage-2-init.log | wc -l": "0",
    "id alice; getent passwd alice": "uid=1000(alice)",
    "systemctl is-active dbus.socket listener.service network-addresses.service": "active\nactive\nactive",
    "busctl --system list --no-legend | wc -l": "",
    "ip -br address show eth1": "192.168.1.",
    "systemctl start slow slow-notify && systemctl is-active slow slow-notify": "active\nactive",
    "systemctl start broken || systemctl is-failed broken": "failed",
    "systemctl reset-failed broken && echo reset": "reset",
    "systemd-run --wait --pipe -p DynamicUser=yes -p ProtectSystem=strict id -u": "",
    "systemctl start user@1000 && su -l alice -c 'XDG_RUNTIME_DIR=/run/user/1000 systemctl --user is-system-running --wait'": "running",
    "journalctl -b -p warning --no-pager -o cat": "",
    "systemd-analyze time": "",
    "systemd-analyze blame --no-pager | head -12": "",
    "systemctl show | grep -E 'TimestampMonotonic=[1-9]' | sort -t= -k2 -n": "",
    "systemd-analyze critical-chain --no-pager": "",
}  # fmt: skip


def main():
    report_path, *scripts = sys.argv[1:]
    started = time.monotonic()
    machines = [Machine(script) for script in scripts]
    report = {"machines": {}, "wrong": []}
    for machine in machines:
        try:
            ready = machine.wait_ready()
        except TimeoutError:
            print(machine.console_tail())
            sys.exit(f"{machine.name}: not up within {DEADLINE} s")
        report["machines"][machine.name] = {"ready_s": round(ready, 3), "cpu_s": machine.cpu_seconds()}
    report["all_ready_s"] = round(time.monotonic() - started, 3)

    def wrong(machine, text):
        report["wrong"].append(f"{machine.name}: {text}")

    for machine in machines:
        answers = report["machines"][machine.name]["answers"] = {}
        more = {os.environ["ask"]: ""} if os.environ.get("ask") else {}
        for command, expected in {**CHECKS, **more}.items():
            done = machine.run(command)
            answer = (done.stdout + done.stderr).strip()
            answers[command] = answer
            if done.returncode != 0 or expected not in answer:
                wrong(machine, f"{command!r} exits {done.returncode} and says {answer!r}")
        if (answer := machine.run("hostname").stdout.strip()) != machine.name:
            wrong(machine, f"its hostname is {answer!r}")
        for other in machines:
            number = int(other.name.removeprefix("m"))
            # iputils 20250605 refuses `ping -6 NAME` when the name has an IPv4
            # address listed first, as in NixOS's /etc/hosts.
            for command in (
                f"ping -c 1 -W 5 {other.name}",
                f"ping -6 -c 1 -W 5 2001:db8:1::{number}",
                f"getent hosts 192.168.1.{number} | grep -w {other.name}",
                f"getent hosts 2001:db8:1::{number} | grep -w {other.name}",
            ):
                if (done := machine.run(command)).returncode != 0:
                    wrong(machine, f"{command!r}: {done.stdout}{done.stderr}")
            done = machine.run(f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {other.name} 8080")
            if "hello" not in done.stdout:
                wrong(machine, f"port 8080 of {other.name}: {done.stdout!r} {done.stderr!r}")
    stopping = time.monotonic()
    for machine in machines:
        machine.run("systemctl --no-block poweroff")
    for machine in machines:
        try:
            if (status := machine.process.wait(DEADLINE)) != 0:
                wrong(machine, f"ended with status {status}")
        except subprocess.TimeoutExpired:
            wrong(machine, f"still there {DEADLINE} s after poweroff")
            machine.process.kill()
    report["poweroff_s"] = round(time.monotonic() - stopping, 3)
    if report["wrong"]:
        for machine in machines:
            print(f"--- console of {machine.name}\n{machine.console_tail()}")
    with open(report_path, "w") as file:
        json.dump(report, file, indent=1)
    print(json.dumps(report, indent=1).replace("\\n", "\n"))
    sys.exit(1 if report["wrong"] else 0)


if __name__ == "__main__":
    main()
