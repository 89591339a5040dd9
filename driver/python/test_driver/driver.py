"""The test as a whole: its machines, its script, the symbols of the script."""

from __future__ import annotations

import _thread
import os
import sys

from .assertions import LazyTester
from .debug import DebugNop
from .logger import Logger
from .machine import BaseMachine, NspawnMachine, QemuMachine, retry
from .vlan import VLan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, Optional, Union

    from .debug import DebugAbstract
    from .duration import Duration
    from .logger import Nest
    from .polling_condition import Poll, PollingCondition
    from .rpc import Rpc

_LEAST_INTERVAL = 0.05  # seconds between checks of a condition during a wait


class Driver:
    """The script's `driver`."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        hello = self._hello = rpc.call("hello", {})
        self.interactive = bool(hello.get("interactive"))
        self.keep_machine_state = bool(hello.get("keep_machine_state"))
        self.global_timeout = hello.get("global_timeout")
        self.logger = Logger(
            rpc, hello.get("log_level") or "info", exit_on_error=not self.interactive
        )
        self.debug: DebugAbstract = DebugNop()
        self.polling_conditions: list[PollingCondition] = []
        self.vlans = [VLan(nr, hello["tmp_dir"]) for nr in hello.get("vlans") or ()]
        self.machines_qemu: list[QemuMachine] = []
        self.machines_nspawn: list[NspawnMachine] = []
        for info in hello.get("machines") or ():
            self._add(info)
        self.failure: Optional[str] = None  # in one line
        self._tests: Optional[str] = None

    @property
    def tests(self) -> str:
        """The text of the script."""
        if self._tests is None:
            with open(self._hello["test_script"], encoding="utf-8") as file:
                self._tests = file.read()
        return self._tests

    @tests.setter
    def tests(self, text: str) -> None:
        self._tests = text

    @property
    def out_dir(self) -> Path:
        """The directory of the test's results, `$out`."""
        from pathlib import Path

        return Path(self._hello["out_dir"])

    @property
    def machines(self) -> list[Union[QemuMachine, NspawnMachine]]:
        """All machines of the test by name."""
        machines = [*self.machines_qemu, *self.machines_nspawn]
        return sorted(machines, key=lambda machine: machine.name)

    def test_symbols(self) -> dict[str, Any]:
        """Returns what a script can name, and prints the names."""
        machines = self.machines
        general = {
            "start_all": self.start_all,
            "test_script": self.test_script,
            "machines": machines,
            "machines_qemu": self.machines_qemu,
            "machines_nspawn": self.machines_nspawn,
            "vlans": self.vlans,
            "driver": self,
            "log": self.logger,
            "os": os,
            "create_machine": self.create_machine,
            "subtest": self.subtest,
            "run_tests": self.run_tests,
            "join_all": self.join_all,
            "retry": retry,
            "serial_stdout_off": self.serial_stdout_off,
            "serial_stdout_on": self.serial_stdout_on,
            "polling_condition": self.polling_condition,
            "Machine": BaseMachine,
            "BaseMachine": BaseMachine,
            "QemuMachine": QemuMachine,
            "NspawnMachine": NspawnMachine,
            "t": LazyTester(),
            "debug": self.debug,
            "dump_machine_ssh": self.dump_machine_ssh,
        }
        by_name: dict[str, Any] = {pythonize_name(m.name): m for m in machines}
        if len(machines) == 1:
            by_name["machine"] = machines[0]
        networks = {f"vlan{vlan.nr}": vlan for vlan in self.vlans}
        lists = ([m.name for m in machines], networks, general)
        text = ",\n    ".join([", ".join(names) for names in lists])
        print(f"additionally exposed symbols:\n    {text}\n", end="")  # in one write
        return {**general, **by_name, **networks}

    def test_script(self) -> None:
        """Runs the script. What goes wrong is logged and ends the test with
        SystemExit, but not an interactive one."""
        with self.logger.nested("run the VM test script"):
            symbols = self.test_symbols()
            try:
                # Not to inherit the future statement of this file.
                code = compile(self.tests, "<string>", "exec", dont_inherit=True)
                exec(code, symbols)
            except KeyboardInterrupt:
                raise
            except SystemExit as e:
                if not self.interactive:
                    raise
                self.logger.log_test_error(f"the test script ended with SystemExit({e.code!r})")
            except BaseException as e:
                self._failed(e)
                self.debug.breakpoint()
                if not self.interactive:
                    raise SystemExit(1) from None

    def run_tests(self) -> None:
        """Runs the script as a build does."""
        if self.global_timeout is not None:
            self.logger.info(
                f"Test will time out and terminate in {self.global_timeout:.15g} seconds"
            )
        self.test_script()

    def start_all(self) -> None:
        """Starts all machines and returns without waiting for their boot."""
        with self.logger.nested("start all VMs"):
            self._rpc.call("start_all", {})

    def join_all(self) -> None:
        """Waits until all machines are off."""
        with self.logger.nested("wait for all VMs to finish"):
            for machine in self.machines:
                machine.wait_for_shutdown()

    def subtest(self, name: str) -> Nest:
        """Returns a context manager for a named part of the test."""
        return self.logger.subtest(name)

    def create_machine(
        self,
        start_command: str,
        *,
        name: Optional[str] = None,
        keep_machine_state: bool = False,
    ) -> BaseMachine:
        """Makes one more QEMU machine, from its start script. It is not among
        the machines of the test, and no polling conditions are checked for it."""
        info = self._rpc.call(
            "create_machine",
            {
                "start_command": f"{start_command}",
                "name": name,
                "keep_machine_state": bool(keep_machine_state),
            },
        )
        return QemuMachine(self._rpc, self.logger, self._with_places(info))

    def serial_stdout_on(self) -> None:
        """Shows the machines' consoles on the terminal."""
        self.logger.print_serial_logs(True)

    def serial_stdout_off(self) -> None:
        """Hides the machines' consoles from the terminal."""
        self.logger.print_serial_logs(False)

    def dump_machine_ssh(self) -> None:
        """Prints how to log in over the ssh back door, if there is one."""
        if not self._hello.get("enable_ssh_backdoor"):
            return
        print("SSH backdoor enabled, the machines can be accessed like this:")
        width = max([len(m.name) for m in self.machines], default=0)
        for index, machine in enumerate(self.machines):
            print(f"    {machine.name + ':':{width + 1}}  {machine.ssh_backdoor_command(index)}")

    def polling_condition(
        self,
        fun: Optional[Callable[[], Optional[bool]]] = None,
        *,
        seconds_interval: Duration = 2.0,
        description: Optional[str] = None,
        interval: Optional[Duration] = None,
    ) -> Union[Poll, Callable[[Callable[[], Optional[bool]]], Poll]]:
        """Makes of a function a condition: a context manager that checks it
        before every command, with a method to wait for it. A decorator, with
        or without arguments. interval is another name of seconds_interval."""
        from .polling_condition import Poll, PollingCondition

        def make(fun: Callable[[], Optional[bool]]) -> Poll:
            condition = PollingCondition(
                fun, self.logger, seconds_interval, description, interval=interval
            )
            return Poll(condition, self.polling_conditions)

        return make if fun is None else make(fun)

    def check_polling_conditions(self) -> None:
        """Raises PollingConditionError if one that is due does not hold."""
        for condition in tuple(self.polling_conditions):
            condition.maybe_raise()

    def watch_threads(self) -> None:
        """Makes what goes wrong in the script's own threads be logged; it
        does not fail the test."""
        threading = sys.modules.get("threading")
        if threading is not None:
            threading.excepthook = self._thread_failed  # type: ignore[attr-defined]
        else:
            # threading takes its hook from here when it is imported. That is
            # some 3 ms (python3 -X importtime -c 'import threading'), which a
            # script without threads need not spend.
            _thread._excepthook = self._thread_failed  # type: ignore[attr-defined]

    def _thread_failed(self, args: Any) -> None:
        if args.exc_type is SystemExit:
            return
        from .report import describe

        error = args.exc_value if args.exc_value is not None else args.exc_type()
        name = args.thread.name if args.thread is not None else "unknown"
        self.logger.log_test_error(f"Exception in thread {name}:")
        for line in describe(error, self.tests):
            self.logger.log_test_error(line)

    def _failed(self, error: BaseException) -> None:
        from .report import describe, summary

        self.failure = summary(error)
        for line in describe(error, self._tests or ""):
            self.logger.log_test_error(line)

    def _add(self, info: dict[str, Any]) -> None:
        info = self._with_places(info)
        args = (
            self._rpc,
            self.logger,
            info,
            self.check_polling_conditions,
            self._check_interval,
        )
        if info.get("kind") == "vm":
            self.machines_qemu.append(QemuMachine(*args))
        else:
            self.machines_nspawn.append(NspawnMachine(*args))

    def _with_places(self, info: dict[str, Any]) -> dict[str, Any]:
        ours = ("out_dir", "tmp_dir", "keep_machine_state")
        return {**{key: self._hello.get(key) for key in ours}, **info}

    def _check_interval(self) -> Optional[float]:
        intervals = [c.seconds_interval for c in tuple(self.polling_conditions)]
        return max(min(intervals), _LEAST_INTERVAL) if intervals else None


def pythonize_name(name: str) -> str:
    """Returns name with `_` for each character that an identifier can't have."""
    letters = "".join([c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name])
    return "_" + letters[1:] if letters[:1].isdigit() else letters


if not TYPE_CHECKING:

    def __getattr__(name):
        if name != "AssertionTester":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .assertions import tester_class

        return tester_class()
