#!@debian@/usr/bin/python3
"""Starts a guest with systemd-nspawn the way upstream's tool of this name does.

Takes the options of a start script (start-script.nix): its own, and all others
for systemd-nspawn. Makes a network namespace, joins each interface to a bridge
for its VLAN by a veth, and waits for the container's end. Needs root, iproute2
and systemd-nspawn, and a name short enough for its veth's name.
"""

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys


def ip(*words, check=True):
    subprocess.run(["ip", *words], check=check)


@contextlib.contextmanager
def locked():
    """Bridges are made by the first container of a VLAN, whichever that is."""
    os.makedirs("/run/nixos-nspawn", exist_ok=True)
    with open("/run/nixos-nspawn/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def join_bridge(link, vlan):
    bridge = f"br{vlan}"
    with locked():
        if not os.path.exists(f"/sys/class/net/{bridge}"):
            ip("link", "add", bridge, "type", "bridge")
            ip("address", "add", f"192.168.{vlan}.254/24", "dev", bridge)
            ip("address", "add", f"2001:db8:{vlan}::fe/64", "dev", bridge)
            ip("link", "set", bridge, "up")
        ip("link", "set", link, "master", bridge, "up")


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--container-name", required=True)
    parser.add_argument("--root-dir", required=True)
    parser.add_argument("--shared-dir")
    parser.add_argument("--interfaces-json", type=json.loads, required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--cmdline-json", type=json.loads, default=[])
    own, options = parser.parse_known_args()
    root = os.environ.get("RUN_NSPAWN_ROOT_DIR", own.root_dir)
    shared = os.environ.get("RUN_NSPAWN_SHARED_DIR", own.shared_dir)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    # Debian's systemd-nspawn refuses a root without /usr; nixpkgs' is patched.
    os.makedirs(f"{root}/usr", exist_ok=True)
    os.chmod(root, 0o755)
    netns = f"nixos-nspawn-{own.container_name}"
    links = []
    ip("netns", "add", netns)
    try:
        for interface in own.interfaces_json:
            link = f"{own.container_name}-{interface['name']}"
            ip("link", "add", link, "type", "veth", "peer", "name", interface["name"], "netns", netns)
            links.append(link)
            join_bridge(link, interface["vlan"])
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
    finally:
        for link in links:
            ip("link", "delete", link, check=False)
        ip("netns", "delete", netns)
    sys.exit(status)


if __name__ == "__main__":
    main()
