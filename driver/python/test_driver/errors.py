"""Errors that a test script may meet and may want to catch."""


class TestScriptError(Exception):
    """Base of the errors below. Of their tracebacks only the script's frames
    are shown, since the others belong to the driver."""

    __test__ = False  # the name begins like a test's: keep collectors away


class RequestedAssertionFailed(TestScriptError, AssertionError):
    """Something that the script asked for is not so: a command did not
    succeed, a wait ran out of time, an assertion of `t` did not hold."""


class MachineError(TestScriptError):
    """A machine or the driver could not do what it was told, which says
    nothing about the thing under test."""
