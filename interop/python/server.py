"""A server of basic-socket-rpc with the commands of the tests.

    python3 server.py [exclusive]

It prints its port and stops, as the package does it, when its input ends.
"""

import logging
import socket
import sys
import time

import commands
from basic_socket_rpc.rpc_spec import RpcServerSpec
from basic_socket_rpc.rpc_threaded_server import make_exclusive_access_server_cm, make_serve, make_serve_cm

HOST = "127.0.0.1"


def free_port() -> int:
    """The package cannot tell which port it was given for 0."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


def await_server(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection((HOST, port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
    sys.exit("the server does not listen")


def main(kind: str = "") -> None:
    if kind == "exclusive":
        serve = make_exclusive_access_server_cm(commands.RESPONSES)
    else:
        serve = make_serve_cm(make_serve(RpcServerSpec(responses=commands.RESPONSES)))
    port = free_port()
    with serve(HOST, port):
        await_server(port)
        commands.say(f"port {port}")
        sys.stdin.read()
    commands.say("stopped")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main(*sys.argv[1:])
