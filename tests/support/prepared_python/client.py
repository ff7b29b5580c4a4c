"""What a test has started: `python -IS client.py SOCKET ARGUMENTS…`. It imports next to nothing, so as to start fast.

It hands over what it was given, passes signals on, and ends as the forked process does.
"""

import json
import os
import signal
import socket
import sys

_, address, *arguments = sys.argv
SIGNALS = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it is known to which process they go
connection = socket.socket(socket.AF_UNIX)
connection.connect(address)
order = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
socket.send_fds(connection, [json.dumps(order).encode() + b"\n"], [0, 1, 2])
told = connection.makefile()
process = int(told.readline())
for number in SIGNALS:
    signal.signal(number, lambda number, _: os.kill(process, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
code = int(told.readline())
if code < 0:
    if code != -signal.SIGKILL:  # which can't be handled
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
