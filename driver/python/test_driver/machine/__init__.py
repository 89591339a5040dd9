"""The machines of a test.

core has what carries the rest, commands the running of programs and the
copying of files, units systemd, outside what is done to a machine and not in
it, backends the classes that scripts name.
"""

from .backends import BaseMachine, Machine, NspawnMachine, QemuMachine
from .waiting import retry

__all__ = ["BaseMachine", "Machine", "NspawnMachine", "QemuMachine", "retry"]
