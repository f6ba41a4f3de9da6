"""A client without the package's client: frames as they are."""

import socket
from types import SimpleNamespace
from typing import Any, Callable, List, Tuple

from basic_socket_rpc.rpc_low_level import (
    VERSION_BYTES,
    deserialize_msg_size,
    parse_msg_header_from_server,
    serialize_client_init,
    serialize_client_rpc_req,
)
from basic_socket_rpc.rpc_serialization_functions import (
    deserialize_str,
    int_from_le_bytes_4,
    int_to_le_bytes_4,
    make_deserializer,
)
from basic_socket_rpc.rpc_spec import RpcClientReq, RpcClientSpec

from commands import Command

INIT = serialize_client_init(VERSION_BYTES)

parse_exception = make_deserializer(deserialize_str, deserialize_str)


def request(cmd: Command, args: bytes = b"") -> bytes:
    return serialize_client_rpc_req(cmd, args)


def frames_of(spec: RpcClientSpec) -> SimpleNamespace:
    """Functions that return what a client of spec sends when its methods of the same names are called, in hex."""

    def frame_of(req: RpcClientReq) -> Callable[..., str]:
        return lambda *args: serialize_client_rpc_req(req.cmd_id, req.serialize_request(*args)).hex()

    return SimpleNamespace(**{req.cmd_id.name: frame_of(req) for req in spec.requests})


class Raw:
    def __init__(self, host: str, port: int):
        self.sock = socket.create_connection((host, port), timeout=60)

    def receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            chunk = self.sock.recv(size - len(received))
            if not chunk:
                break
            received += chunk
        return received

    def read(self) -> Tuple[str, Any]:
        """Reads one frame: its type, and its payload or what the exception says."""
        head = self.receive(4)
        if not head:
            return ("end", b"")
        body = self.receive(deserialize_msg_size(head) - 4)
        kind, payload = parse_msg_header_from_server(body).name[len("MSG_SERVER_") :], body[1:]
        return (kind, parse_exception(payload) if kind == "EXCEPTION" else payload)

    def ask(self, frame: bytes) -> Tuple[str, Any]:
        self.sock.sendall(frame)
        return self.read()

    def pipeline(self, count: int) -> List[int]:
        """Sends many requests before it reads. The replies should be 0, 1, 2 and so on."""
        self.sock.sendall(b"".join(request(Command.echo_le4, int_to_le_bytes_4(i)) for i in range(count)))
        return [int_from_le_bytes_4(self.read()[1]) for _ in range(count)]
