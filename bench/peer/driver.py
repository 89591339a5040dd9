"""The peer: systemd-nspawn driven the way nixpkgs' own test driver does it.

    main.py --config CONFIG.json -o DIR    (which is this, byte-compiled)

A program of our own with the habits of that driver, to compare with: a process
of vde_switch for each VLAN; a Python process around each systemd-nspawn, which
calls `ip` (run_nspawn.py); a `journalctl --follow` for each
container, read line by line in a thread; every command by nsenter and a shell
that sources /etc/profile; one second between two tries. Where in doubt it does
less than the original, to be no slower.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import unittest

from logger import Logger
from machine import Machine, RequestedAssertionFailed
from vlan import VLan


class AssertionTester(unittest.TestCase):
    """What scripts know as `t`."""

    failureException = RequestedAssertionFailed


class Driver:
    def __init__(self, config, tests):
        self.tests = tests
        self.logger = Logger()
        tmp = os.environ.get("XDG_RUNTIME_DIR", tempfile.gettempdir())
        self.timer = threading.Timer(config["global_timeout"], self.terminate)
        with self.logger.nested("start all VLans"):
            self.vlans = [VLan(number, tmp, self.logger) for number in config["vlans"]]
        self.machines = [
            Machine(name, entry["start_script"], tmp, self.logger)
            for name, entry in sorted(config["containers"].items())
        ]

    def symbols(self):
        symbols = {
            "start_all": self.start_all,
            "machines_nspawn": self.machines,
            "driver": self,
            "log": self.logger,
            "t": AssertionTester(),
            "subtest": self.logger.subtest,
        }
        symbols.update((machine.name, machine) for machine in self.machines)
        if len(self.machines) == 1:
            symbols["machine"] = self.machines[0]
        return symbols

    def start_all(self):
        with self.logger.nested("start all VMs"):
            for machine in self.machines:
                machine.start()

    def run(self):
        self.timer.start()
        with self.logger.nested("run the VM test script"):
            try:
                exec(self.tests, self.symbols())
            except RequestedAssertionFailed as error:
                self.logger.log(f"!!! RequestedAssertionFailed: {error}")
                sys.exit(1)
        for machine in self.machines:
            if machine.is_up():
                machine.execute("sync")

    def release(self):
        with self.logger.nested("cleanup"):
            self.timer.cancel()
            for machine in self.machines:
                machine.release()
            for vlan in self.vlans:
                vlan.stop()

    def terminate(self):
        with self.logger.nested("timeout reached; test terminating..."):
            for machine in self.machines:
                machine.release()
            os.kill(os.getpid(), signal.SIGTERM)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("-o", "--output_directory", required=True)
    args = parser.parse_args()
    with open(args.config) as file:
        config = json.load(file)
    with open(config["test_script"]) as file:
        tests = file.read()
    driver = Driver(config, tests)
    try:
        driver.run()
    finally:
        driver.release()
