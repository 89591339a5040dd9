"""What a test script may import; each module is loaded when it is asked for.

The work is done by the driver process at the other end of a socket (rpc).
Here are the names that scripts know, and what must be Python: callbacks,
assertions and tracebacks.
"""
