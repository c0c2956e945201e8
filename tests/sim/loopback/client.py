"""A program of its own that holds the real ur_rtde interfaces: one JSON line in is one call, one JSON line out.

Its own process, because ur_rtde's threads abort theirs when a connection is cut.
"""

from __future__ import annotations

import json
import os
import sys

import dashboard_client
import rtde_control
import rtde_io
import rtde_receive


def main(host: str) -> None:
    """Connect, then call what the lines ask for."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)  # ur_rtde prints to standard output
    os.dup2(2, 1)
    interfaces = {
        "control": rtde_control.RTDEControlInterface(host, 125.0),
        "receive": rtde_receive.RTDEReceiveInterface(host, 125.0),
        "io": rtde_io.RTDEIOInterface(host),
        "dashboard": dashboard_client.DashboardClient(host),
    }
    interfaces["dashboard"].connect()
    answers.write("connected\n")
    for line in sys.stdin:
        interface, call, arguments = json.loads(line)
        try:
            answer = getattr(interfaces[interface], call)(*arguments)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        answers.write(json.dumps(answer) + "\n")
    os._exit(0)  # without the interfaces' destructors, which may wait for a controller that does not answer


if __name__ == "__main__":
    main(sys.argv[1])
