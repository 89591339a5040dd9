"""What a start script calls: systemd-nspawn in a network namespace of its own.

Takes the options of nixpkgs' tool of this name, and passes those that it does
not know on. Where test/guest/run-nspawn.py is made to be simple, this one does
what upstream's does, call for call of `ip`.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

log = logging.getLogger()


@dataclasses.dataclass
class Bridge:
    vlan: int

    @property
    def name(self):
        return f"br{self.vlan}"

    @property
    def sysfs(self):
        return Path("/sys/class/net") / self.name

    @contextlib.contextmanager
    def locked(self):
        """Bridges are made by the first container of a VLAN and removed by the last."""
        path = Path(f"/run/nixos-nspawn/vlan-{self.vlan}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def ensure(self):
        with self.locked():
            if not self.sysfs.exists():
                ip("link", "add", self.name, "type", "bridge")
                ip("link", "set", self.name, "up")
                ip("addr", "add", f"192.168.{self.vlan}.254/24", "dev", self.name)
                ip("addr", "add", f"2001:db8:{self.vlan}::fe/64", "dev", self.name)
            tap = Path(f"/sys/class/net/vde-tap{self.vlan}")
            if tap.exists():
                ip("link", "set", tap.name, "master", self.name)
                ip("link", "set", tap.name, "up")
            else:
                log.warning("no tap %s: no VM will be reached", tap.name)

    def drop_if_unused(self):
        with self.locked():
            if self.sysfs.exists() and not list((self.sysfs / "brif").iterdir()):
                ip("link", "delete", self.name)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def plug_in(stack, container, netns, interface):
    bridge = Bridge(interface["vlan"])
    stack.callback(bridge.drop_if_unused)
    bridge.ensure()
    link = f"{container}-{interface['name']}"
    ip("link", "add", link, "type", "veth", "peer", "name", interface["name"], "netns", netns)
    stack.callback(ip, "link", "delete", link)
    ip("link", "set", link, "master", bridge.name)
    ip("link", "set", link, "up")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser()
    parser.add_argument("--container-name", required=True)
    parser.add_argument("--root-dir", required=True)
    parser.add_argument("--shared-dir")
    parser.add_argument("--interfaces-json", type=json.loads, required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--cmdline-json", type=json.loads, default=[])
    own, options = parser.parse_known_args()
    logging.basicConfig(format=f"run-nspawn({own.container_name}): %(message)s", level=logging.WARNING)

    root = Path(os.getenv("RUN_NSPAWN_ROOT_DIR", own.root_dir))
    shared = os.getenv("RUN_NSPAWN_SHARED_DIR", own.shared_dir)
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    # nixpkgs' systemd-nspawn is patched not to insist on it.
    (root / "usr").mkdir(exist_ok=True)

    with contextlib.ExitStack() as stack:
        netns = f"nixos-nspawn-{own.container_name}"
        ip("netns", "add", netns)
        stack.callback(ip, "netns", "delete", netns)
        for interface in own.interfaces_json:
            plug_in(stack, own.container_name, netns, interface)
        container = subprocess.Popen(
            [
                "systemd-nspawn",
                *options,
                f"--directory={root}",
                f"--network-namespace-path=/run/netns/{netns}",
                *([f"--bind={shared}:/tmp/shared"] if shared else []),
                own.init,
                *own.cmdline_json,
            ]
        )
        try:
            status = container.wait()
        finally:
            container.terminate()
            subprocess.run(["chattr", "-i", root / "var/empty"], check=False)
        sys.exit(status)
