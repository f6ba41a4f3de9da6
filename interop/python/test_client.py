"""A test suite of a Python client, which does not know what serves it.

    SERVER=HOST:PORT python3 -m unittest test_client
"""

import os
import unittest

import commands
from basic_socket_rpc.rpc_blocking_client import gen_client_class
from basic_socket_rpc.rpc_low_level import ProtocolError, ServerError
from basic_socket_rpc.rpc_spec import RpcClientSpec

Client = gen_client_class(RpcClientSpec(requests=commands.REQUESTS))


class TestClient(unittest.TestCase):
    def setUp(self):
        host, port = os.environ["SERVER"].split(":")
        self.client = Client(host, int(port))
        self.client.socket_client_connect()
        self.addCleanup(self.client.socket_client_disconnect)

    def test_greets(self):
        self.assertEqual(self.client.hello("Bob"), "hello Bob")
        self.assertEqual(self.client.goodbye("Bob"), "goodbye Bob")

    def test_adds(self):
        self.assertEqual(self.client.add_2_words(1000, 2050), 3050)

    def test_nothing(self):
        self.assertIsNone(self.client.func_no_args())
        self.assertIsNone(self.client.last())

    def test_arrays(self):
        self.assertEqual(self.client.sum_fixed([1, 2, 3]), 6)
        self.assertEqual(self.client.sum_array([0x10, 0x22222222]), 0x22222232)
        self.assertEqual(self.client.sum_array([]), 0)

    def test_several(self):
        self.assertEqual(self.client.sum_and_text([1, 2], "hi"), (3, "hi"))

    def test_unknown_on_server(self):
        with self.assertRaisesRegex(ProtocolError, "Unknown command with id: 10"):
            self.client.unknown("x")
        self.test_adds()

    def test_raises(self):
        for name, kind in {"ValueError": ValueError, "ZeroDivisionError": ZeroDivisionError, "OSError": OSError}.items():
            with self.assertRaisesRegex(kind, "on purpose"):
                self.client.fail(name, "on purpose")
        with self.assertRaisesRegex(ServerError, "Broken.*on purpose"):
            self.client.fail("Broken", "on purpose")
        self.test_adds()

    def test_overflow(self):
        with self.assertRaisesRegex(OverflowError, "int too big to convert"):
            self.client.overflow()
        with self.assertRaises(OverflowError):
            self.client.add_2_words(1 << 32, 0)  # not sent
        with self.assertRaisesRegex(OverflowError, "int too big to convert"):
            self.client.add_2_words((1 << 32) - 1, 1)
        self.test_adds()

    def test_connects_once(self):
        with self.assertRaisesRegex(ValueError, "Already connected"):
            self.client.socket_client_connect()


if __name__ == "__main__":
    unittest.main()
