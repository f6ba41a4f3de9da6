"""Tests of a server by the package's client: python3 test_client.py HOST PORT

The server has the commands of Command. What it is written in, and in which language, does not matter.
"""

import sys
import unittest
from enum import Enum
from typing import Tuple

from basic_socket_rpc.rpc_blocking_client import gen_client_class
from basic_socket_rpc.rpc_low_level import ProtocolError
from basic_socket_rpc.rpc_serialization_functions import (
    deserialize_str,
    deserialize_str_only,
    int_from_le_bytes_4,
    int_to_le_bytes_4,
    make_client_deserializer,
    make_serialize_array,
    make_serialize_array_fixed_size,
    make_serializer,
    parse_int_from_le_bytes_4,
    parse_no_response,
    serialize_no_args,
    serialize_str,
)
from basic_socket_rpc.rpc_spec import RpcClientReq, RpcClientSpec

HOST: Tuple[str, int] = ("127.0.0.1", 0)  # from the command line


class Command(Enum):
    hello = 0
    add = 2
    nothing = 3
    fixed_array = 4
    array = 5
    two_and_two = 6
    unknown = 10  # which the server does not have


serialize_words = make_serialize_array(int_to_le_bytes_4)

Client = gen_client_class(
    RpcClientSpec(
        requests=(
            RpcClientReq(Command.hello, serialize_str, deserialize_str_only),
            RpcClientReq(Command.add, make_serializer(int_to_le_bytes_4, int_to_le_bytes_4), int_from_le_bytes_4),
            RpcClientReq(Command.nothing, serialize_no_args, parse_no_response),
            RpcClientReq(
                Command.fixed_array, make_serialize_array_fixed_size(3, int_to_le_bytes_4), int_from_le_bytes_4
            ),
            RpcClientReq(Command.array, serialize_words, int_from_le_bytes_4),
            RpcClientReq(
                Command.two_and_two,
                make_serializer(serialize_words, serialize_str),
                make_client_deserializer(parse_int_from_le_bytes_4, deserialize_str),
            ),
            RpcClientReq(Command.unknown, serialize_str, parse_no_response),
        )
    )
)

# Clients that do not mean the same as the server.
Other = gen_client_class(
    RpcClientSpec(
        requests=(
            RpcClientReq(Command.hello, int_to_le_bytes_4, deserialize_str_only),
            RpcClientReq(Command.add, int_to_le_bytes_4, int_from_le_bytes_4),
            RpcClientReq(Command.nothing, serialize_str, parse_no_response),
            RpcClientReq(Command.array, serialize_words, parse_no_response),
        )
    )
)


class ClientTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = self.connect(Client)

    def connect(self, client_class: type):
        client = client_class(*HOST)
        client.socket_client_connect()
        self.addCleanup(client.socket_client_disconnect)
        return client


class CommandsTest(ClientTest):
    def test_hello(self) -> None:
        for name in "Bob", "", "h\u00e9llo w\u00f6rld", "\u65e5\u672c\u8a9e", "\U0001f600\u0000", "a" * 100_000:
            self.assertEqual(self.client.hello(name), f"hello {name}")

    def test_add(self) -> None:
        self.assertEqual(self.client.add(1000, 2050), 3050)
        self.assertEqual(self.client.add(0, 0xFFFFFFFF), 0xFFFFFFFF)

    def test_nothing(self) -> None:
        self.assertIsNone(self.client.nothing())

    def test_fixed_array(self) -> None:
        self.assertEqual(self.client.fixed_array([1, 2, 3]), 6)

    def test_array(self) -> None:
        for numbers in [], [7], [0x10, 0x22222222], range(10_000):
            self.assertEqual(self.client.array(numbers), sum(numbers))

    def test_two_arguments_two_results(self) -> None:
        self.assertEqual(self.client.two_and_two([1, 2], "hi"), (3, "hi"))

    def test_many_calls(self) -> None:
        for i in range(200):
            self.assertEqual(self.client.add(i, 1), i + 1)


class ExceptionsTest(ClientTest):
    def tearDown(self) -> None:
        self.assertEqual(self.client.add(1, 2), 3, "the connection is of no use after the exception")

    def test_unknown_command(self) -> None:
        with self.assertRaisesRegex(ProtocolError, "Unknown command with id: 10"):
            self.client.unknown("x")

    def test_result_does_not_fit(self) -> None:
        with self.assertRaisesRegex(OverflowError, "int too big to convert"):
            self.client.add(0xFFFFFFFF, 1)
        with self.assertRaisesRegex(OverflowError, "int too big to convert"):
            self.client.array([0xFFFFFFFF, 1])

    def test_argument_does_not_fit(self) -> None:
        with self.assertRaises(OverflowError):
            self.client.add(0x100000000, 1)
        with self.assertRaises(OverflowError):
            self.client.add(-1, 1)

    def test_wrong_arguments(self) -> None:
        with self.assertRaises(ValueError):
            self.client.fixed_array([1, 2])
        with self.assertRaises(ValueError):
            self.client.add(1)

    def test_server_reads_other_arguments(self) -> None:
        other = self.connect(Other)
        for call, argument in (other.hello, 1), (other.add, 1), (other.nothing, "x"):
            with self.assertRaises(ValueError):
                call(argument)

    def test_client_reads_other_result(self) -> None:
        with self.assertRaisesRegex(ValueError, "Unexpected response from server. Got 4"):
            self.connect(Other).array([1, 2])


class ConnectionsTest(ClientTest):
    def test_connected_already(self) -> None:
        with self.assertRaisesRegex(ValueError, "Already connected"):
            self.client.socket_client_connect()
        self.assertEqual(self.client.add(1, 2), 3)

    def test_context_manager(self) -> None:
        client = Client(*HOST)
        with client:
            self.assertEqual(client.hello("Bob"), "hello Bob")
        with self.assertRaises(ValueError):
            client.hello("Bob")

    def test_connects_again(self) -> None:
        client = Client(*HOST)
        for name in "Ann", "Bob":
            with client:
                self.assertEqual(client.hello(name), f"hello {name}")

    def test_clients_at_once(self) -> None:
        clients = [self.connect(Client) for _ in range(4)]
        for i, client in enumerate(clients):
            self.assertEqual(client.add(i, 1), i + 1)


if __name__ == "__main__":
    HOST = (sys.argv[1], int(sys.argv[2]))
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
