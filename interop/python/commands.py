"""The commands of the tests, for both ends of basic-socket-rpc 0.6.0 as it is.

They use every serialiser of the package. commands_test.go has the same commands
as a contract of Go.
"""

import builtins
import sys
import time
from enum import Enum

from basic_socket_rpc import rpc_serialization_functions as s
from basic_socket_rpc.rpc_low_level import ProtocolError
from basic_socket_rpc.rpc_spec import RpcClientReq, RpcServerResp


class Command(Enum):
    hello = 0
    goodbye = 1
    add_2_words = 2
    func_no_args = 3
    sum_fixed = 4
    sum_array = 5
    sum_and_text = 6
    ints = 7
    flip = 8
    reverse = 9
    unknown = 10  # no server has it
    words = 11
    matrix = 12
    fail = 13
    overflow = 14
    pause = 15
    grid = 16
    count = 17
    last = 65535


class Broken(Exception):
    """A name that no client knows."""


def fail(name: str, text: str) -> None:
    own = {"Broken": Broken, "ProtocolError": ProtocolError}
    raise (own.get(name) or getattr(builtins, name))(*[text] if text else [])


def say(line: str) -> None:
    """Prints a line whole: the package prints in other threads, its newlines apart."""
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


def pause(milliseconds: int) -> int:
    say("pausing")
    time.sleep(milliseconds / 1000)
    return milliseconds


serialize_ints = (s.int_to_le_bytes_1, s.int_to_le_bytes_2, s.int_to_le_bytes_4, s.int_to_le_bytes_8)
parse_ints = (
    s.parse_int_from_le_bytes_1,
    s.parse_int_from_le_bytes_2,
    s.parse_int_from_le_bytes_4,
    s.parse_int_from_le_bytes_8,
)
serialize_array = s.make_serialize_array(s.int_to_le_bytes_4)
parse_array = s.make_deserialize_array(s.parse_int_from_le_bytes_4)
serialize_words = s.make_serialize_array(s.serialize_str)
parse_words = s.make_deserialize_array(s.deserialize_str)
serialize_matrix = s.make_serialize_array(serialize_array)
parse_matrix = s.make_deserialize_array(parse_array)
serialize_fixed = s.make_serialize_array_fixed_size(3, s.int_to_le_bytes_4)
parse_fixed = s.make_deserialize_array_fixed_size(3, s.parse_int_from_le_bytes_4)
serialize_grid = s.make_serialize_array_fixed_size(2, s.make_serialize_array_fixed_size(3, s.int_to_le_bytes_2))
parse_grid = s.make_deserialize_array_fixed_size(2, s.make_deserialize_array_fixed_size(3, s.parse_int_from_le_bytes_2))


def only(parse):
    """The one value of a reply."""
    parse_one = s.make_client_deserializer(parse)
    return lambda bs: parse_one(bs)[0]


# command, arguments, reply: as a client has them
REQUESTS = (
    RpcClientReq(Command.hello, s.serialize_str, s.deserialize_str_only),
    RpcClientReq(Command.goodbye, s.serialize_str, s.deserialize_str_only),
    RpcClientReq(Command.add_2_words, s.make_serializer(s.int_to_le_bytes_4, s.int_to_le_bytes_4), s.int_from_le_bytes_4),
    RpcClientReq(Command.func_no_args, s.serialize_no_args, s.parse_no_response),
    RpcClientReq(Command.sum_fixed, serialize_fixed, s.int_from_le_bytes_4),
    RpcClientReq(Command.sum_array, serialize_array, s.int_from_le_bytes_4),
    RpcClientReq(
        Command.sum_and_text,
        s.make_serializer(serialize_array, s.serialize_str),
        s.make_client_deserializer(s.parse_int_from_le_bytes_4, s.deserialize_str),
    ),
    RpcClientReq(Command.ints, s.make_serializer(*serialize_ints), s.make_deserializer_to_tuple(*parse_ints)),
    RpcClientReq(Command.flip, s.serialize_bool, s.deserialize_bool_only),
    RpcClientReq(Command.reverse, s.serialize_bytes, s.deserialize_bytes_only),
    RpcClientReq(Command.unknown, s.serialize_str, s.parse_no_response),
    RpcClientReq(Command.words, serialize_words, only(parse_words)),
    RpcClientReq(Command.matrix, serialize_matrix, only(parse_matrix)),
    RpcClientReq(Command.fail, s.make_serializer(s.serialize_str, s.serialize_str), s.parse_no_response),
    RpcClientReq(Command.overflow, s.client_call_no_args, s.int_from_le_bytes_2),
    RpcClientReq(Command.pause, s.int_to_le_bytes_4, s.int_from_le_bytes_4),
    RpcClientReq(Command.grid, serialize_grid, only(parse_grid)),
    RpcClientReq(Command.count, s.int_to_le_bytes_4, only(parse_array)),
    RpcClientReq(Command.last, s.serialize_no_args, s.parse_no_response),
)

call = s.make_server_deserializer

# the same as a server has them
RESPONSES = (
    RpcServerResp(Command.hello, call(s.deserialize_str), s.serialize_str, lambda name: f"hello {name}"),
    RpcServerResp(Command.goodbye, call(s.deserialize_str), s.serialize_str, lambda name: f"goodbye {name}"),
    RpcServerResp(
        Command.add_2_words,
        call(s.parse_int_from_le_bytes_4, s.parse_int_from_le_bytes_4),
        s.int_to_le_bytes_4,
        lambda a, b: a + b,
    ),
    RpcServerResp(Command.func_no_args, s.call_no_args, s.serialize_no_response, lambda: None),
    RpcServerResp(Command.sum_fixed, call(parse_fixed), s.int_to_le_bytes_4, sum),
    RpcServerResp(Command.sum_array, call(parse_array), s.int_to_le_bytes_4, sum),
    RpcServerResp(
        Command.sum_and_text,
        call(parse_array, s.deserialize_str),
        s.make_apply(s.make_serializer(s.int_to_le_bytes_4, s.serialize_str)),
        lambda numbers, text: (sum(numbers), text),
    ),
    RpcServerResp(
        Command.ints, call(*parse_ints), s.make_serializer(*serialize_ints, _splat_args=False), lambda *numbers: numbers
    ),
    RpcServerResp(Command.flip, call(s.deserialize_bool), s.serialize_bool, lambda b: not b),
    RpcServerResp(Command.reverse, call(s.deserialize_bytes), s.serialize_bytes, lambda bs: bs[::-1]),
    RpcServerResp(Command.words, call(parse_words), serialize_words, lambda words: words[::-1]),
    RpcServerResp(Command.matrix, call(parse_matrix), serialize_matrix, lambda rows: rows[::-1]),
    RpcServerResp(Command.fail, call(s.deserialize_str, s.deserialize_str), s.serialize_no_response, fail),
    RpcServerResp(Command.overflow, s.call_no_args, s.int_to_le_bytes_2, lambda: 70_000),
    RpcServerResp(Command.pause, call(s.parse_int_from_le_bytes_4), s.int_to_le_bytes_4, pause),
    RpcServerResp(Command.grid, call(parse_grid), serialize_grid, lambda rows: rows[::-1]),
    RpcServerResp(Command.count, call(s.parse_int_from_le_bytes_4), serialize_array, range),
    RpcServerResp(Command.last, s.call_no_args, s.serialize_no_response, lambda: None),
)
