"""One user of a server, driven by a console: python3 client.py HOST PORT [RETRY_INTERVAL_SECS]

Announces "asked" whenever the server has answered whether there is a place for it.
"""

import sys

from basic_socket_rpc import rpc_blocking_client
from basic_socket_rpc.rpc_blocking_client import gen_client_class

import console
import raw
from commands import Command, client_spec

Desk = gen_client_class(client_spec)


def main() -> None:
    host, port, *interval = sys.argv[1:]
    console.announce_logged(rpc_blocking_client.logger, {"Got init response...": "asked"})
    desk = Desk(host, int(port), timeout_secs=60, retry_interval_secs=float(interval[0]) if interval else 4.5)
    console.run(
        {
            "desk": desk,
            "connect": desk.socket_client_connect,
            "leave": desk.socket_client_disconnect,
            "unasked": lambda: desk._socket_client.sock.recv(1),  # b"" if the server hangs up
            "frames": raw.frames_of(client_spec),
            "raw": lambda: raw.Raw(host, int(port)),
            "INIT": raw.INIT,
            "request": raw.request,
            "Command": Command,
        }
    )


if __name__ == "__main__":
    main()
