"""A client of basic-socket-rpc that does as it is told.

    python3 drive.py HOST PORT [RETRY_INTERVAL]

Each line of input is a list in JSON, an order and its arguments; each is answered
by one line, {"value": ...} or {"raised": [name, text]}. Bytes are {"hex": ...}. A
line "polled" says that an INIT has been answered.
"""

import json
import logging
import sys

import commands
from basic_socket_rpc.rpc_blocking_client import gen_client_class
from basic_socket_rpc.rpc_low_level import serialize_client_rpc_req
from basic_socket_rpc.rpc_spec import RpcClientSpec

Client = gen_client_class(RpcClientSpec(requests=commands.REQUESTS))


def main(host: str, port: str, retry_interval: str = "0.2") -> None:
    client = Client(host, int(port), timeout_secs=60, retry_interval_secs=float(retry_interval))
    orders = {
        "connect": lambda: client.socket_client_connect(),
        "disconnect": lambda: client.socket_client_disconnect(),
        "raw": lambda frame: raw(client, frame),
        "pipeline": lambda n: pipeline(client, n),
    }
    for line in sys.stdin:
        order, *args = json.loads(line, object_hook=lambda o: bytes.fromhex(o["hex"]))
        try:
            value = orders.get(order, getattr(client, order, None))(*args)
            answer = {"value": value}
        except Exception as raised:  # SystemExit and the like end the process, which fails the test
            answer = {"raised": [type(raised).__name__, str(raised)]}
        print(json.dumps(answer, default=lambda bs: {"hex": bs.hex()}), flush=True)


def raw(client, frame: bytes) -> bytes:
    """Sends bytes, and returns the payload of what is answered."""
    sock = client._socket_client
    sock.send_all(frame, 0)
    return bytes(sock.get_msg(0)[1])


def pipeline(client, n: int):
    """Sends n commands and only then reads the answers."""
    sock = client._socket_client
    request = next(r for r in commands.REQUESTS if r.cmd_id == commands.Command.add_2_words)
    for i in range(n):
        sock.send_all(serialize_client_rpc_req(request.cmd_id, request.serialize_request(i, 1)), 0)
    return [request.parse_response(sock.get_msg(0)[1]) for _ in range(n)]


class Polled(logging.Handler):
    """Hears it from the package's own log."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "Got init response...":
            print("polled", flush=True)


if __name__ == "__main__":
    logger = logging.getLogger("basic_socket_rpc.rpc_blocking_client")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Polled())
    main(*sys.argv[1:])
