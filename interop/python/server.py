"""A server of the package, driven by a console: python3 server.py [exclusive | refusing]

Announces its port, and "began" when the command hold begins.
"""

import inspect
import logging
import sys
import threading
from contextlib import ExitStack
from typing import Callable, ContextManager

from basic_socket_rpc.rpc_spec import OnServerInit, OnServerInitResp, RpcServerSpec
from basic_socket_rpc.rpc_threaded_server import (
    make_exclusive_access_server_cm,
    make_serve,
    make_serve_cm,
    on_exclusive_access_server_init,
)

import console
from commands import release, responses


def announcing_port(init: OnServerInit) -> OnServerInit:
    """The package tells nobody on which port it listens, but the function that calls init has the socket."""

    def on_server_init() -> OnServerInitResp:
        sock = inspect.currentframe().f_back.f_locals["sock"]
        console.announce(f"port {sock.getsockname()[1]}")
        return init()

    return on_server_init


def refuse(shared_data: dict, local_data: dict) -> bool:
    raise PermissionError("not today")


def make_server(kind: str) -> Callable[[str, int], ContextManager]:
    if kind == "exclusive":
        return make_exclusive_access_server_cm(responses, announcing_port(on_exclusive_access_server_init))
    spec = RpcServerSpec(responses=responses, on_server_init=announcing_port(lambda: ({}, lambda: {})))
    if kind == "refusing":
        spec = spec._replace(on_client_connect=refuse)
    return make_serve_cm(make_serve(spec))


def main() -> None:
    serve = make_server(sys.argv[1] if len(sys.argv) > 1 else "")
    console.announce_logged(logging.getLogger(), {"waiting for client threads to shutdown": "shutting down"})
    with ExitStack() as running:
        running.enter_context(serve("127.0.0.1", 0))
        console.run({"release": release.release, "shutdown": threading.Thread(target=running.close).start})


if __name__ == "__main__":
    main()
