"""What a test has started: `python -IS client.py SOCKET ARGUMENTS…`. It imports next to nothing, so as to start fast:
what is below `signal` and `socket`, since to make their enumerations takes longer than Python's own start.

It hands over what it was given, passes signals on, and ends as the forked process does.
"""

import _signal
import _socket
import os
import sys

_, address, *arguments = sys.argv
connection = _socket.socket(_socket.AF_UNIX)
connection.connect(address)
order = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
connection.sendmsg([ascii(order).encode() + b"\n"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
told = os.fdopen(connection.fileno())
process = int(told.readline())
for number in (_signal.SIGINT, _signal.SIGTERM):
    _signal.signal(number, lambda number, _: os.kill(process, number))
code = int(told.readline())
if code < 0:
    _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
