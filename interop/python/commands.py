"""The commands that the tests call, in the words of the package: ids, formats, and the functions of a server.

contract_test.go is the same in Go. Nothing but the tests compares the two. Between them, the commands use every
serialiser that the package has.
"""

import builtins
import threading
from enum import Enum
from typing import Callable, List

from basic_socket_rpc import rpc_low_level
from basic_socket_rpc.rpc_serialization_functions import (
    call_no_args,
    client_call_no_args,
    deserialize_bool,
    deserialize_bool_only,
    deserialize_bytes,
    deserialize_bytes_only,
    deserialize_cmd_msg_size,
    deserialize_str,
    deserialize_str_only,
    int_from_le_bytes_1,
    int_from_le_bytes_2,
    int_from_le_bytes_4,
    int_from_le_bytes_8,
    int_to_le_bytes_1,
    int_to_le_bytes_2,
    int_to_le_bytes_4,
    int_to_le_bytes_8,
    make_apply,
    make_client_deserializer,
    make_deserialize_array,
    make_deserialize_array_fixed_size,
    make_deserialize_only,
    make_deserializer,
    make_deserializer_to_tuple,
    make_serialize_array,
    make_serialize_array_fixed_size,
    make_serializer,
    make_server_deserializer,
    parse_int_from_le_bytes_1,
    parse_int_from_le_bytes_2,
    parse_int_from_le_bytes_4,
    parse_int_from_le_bytes_8,
    parse_no_response,
    serialize_bool,
    serialize_bytes,
    serialize_cmd_msg_size,
    serialize_no_args,
    serialize_no_response,
    serialize_str,
)
from basic_socket_rpc.rpc_spec import RpcClientReq, RpcClientSpec, RpcServerResp

from console import announce


class Command(Enum):
    hello = 0
    goodbye = 1
    add_2_words = 2
    func_no_args = 3
    sum_fixed = 4
    sum_array = 5
    sum_and_text = 6
    unknown = 10  # to every server
    echo_le1 = 11
    echo_le2 = 12
    echo_le4 = 13
    echo_le8 = 14
    echo_bool = 15
    echo_str = 16
    echo_bytes = 17
    length = 18
    stretch = 19
    echo_words = 20
    echo_strs = 21
    echo_blobs = 22
    echo_bools = 23
    echo_rows = 24
    echo_points = 25
    echo_matrix = 26
    echo_pair = 27
    echo_records = 28
    mixed = 30
    narrow = 31
    fail = 32
    hold = 33
    last = 65535


class Partial(Enum):
    """Commands of which less is taken than the server gives."""

    sum_only = 6


responses: List[RpcServerResp] = []
requests: List[RpcClientReq] = []


def command(cmd: Command, parse_and_call, serialize_response, function, serialize_request, parse_response) -> None:
    """Adds a command to both ends."""
    responses.append(RpcServerResp(cmd, parse_and_call, serialize_response, function))
    requests.append(RpcClientReq(cmd, serialize_request, parse_response))


def echo(cmd: Command, serialize: Callable, parse: Callable, parse_response: Callable = None) -> None:
    """Adds a command that returns its argument."""
    parse_response = parse_response or make_deserialize_only(parse, cmd.name)
    command(cmd, make_server_deserializer(parse), serialize, lambda value: value, serialize, parse_response)


# The commands of the package's README, and those of its own tests.

words = make_serialize_array(int_to_le_bytes_4)
parse_words = make_deserialize_array(parse_int_from_le_bytes_4)

command(
    Command.hello,
    make_server_deserializer(deserialize_str),
    serialize_str,
    lambda name: f"hello {name}",
    serialize_str,
    deserialize_str_only,
)
command(
    Command.goodbye,
    make_server_deserializer(deserialize_str),
    serialize_str,
    lambda name: f"goodbye {name}",
    serialize_str,
    deserialize_str_only,
)
command(
    Command.add_2_words,
    make_server_deserializer(parse_int_from_le_bytes_4, parse_int_from_le_bytes_4),
    int_to_le_bytes_4,
    lambda a, b: a + b,
    make_serializer(int_to_le_bytes_4, int_to_le_bytes_4),
    int_from_le_bytes_4,
)
command(Command.func_no_args, call_no_args, serialize_no_response, lambda: None, serialize_no_args, parse_no_response)
command(
    Command.sum_fixed,
    make_server_deserializer(make_deserialize_array_fixed_size(3, parse_int_from_le_bytes_4)),
    int_to_le_bytes_4,
    sum,
    make_serialize_array_fixed_size(3, int_to_le_bytes_4),
    int_from_le_bytes_4,
)
command(Command.sum_array, make_server_deserializer(parse_words), int_to_le_bytes_4, sum, words, int_from_le_bytes_4)
command(
    Command.sum_and_text,
    make_server_deserializer(parse_words, deserialize_str),
    make_apply(make_serializer(int_to_le_bytes_4, serialize_str)),
    lambda numbers, text: (sum(numbers), text),
    make_serializer(words, serialize_str),
    make_client_deserializer(parse_int_from_le_bytes_4, deserialize_str),
)
requests.append(RpcClientReq(Command.unknown, serialize_bytes, parse_no_response))
requests.append(
    RpcClientReq(
        Partial.sum_only,
        make_serializer(words, serialize_str),
        make_deserialize_only(parse_int_from_le_bytes_4, "sum", check_no_remaining=False),
    )
)

# One value, there and back.

echo(Command.echo_le1, int_to_le_bytes_1, parse_int_from_le_bytes_1, int_from_le_bytes_1)
echo(Command.echo_le2, int_to_le_bytes_2, parse_int_from_le_bytes_2, int_from_le_bytes_2)
echo(Command.echo_le4, int_to_le_bytes_4, parse_int_from_le_bytes_4, int_from_le_bytes_4)
echo(Command.echo_le8, int_to_le_bytes_8, parse_int_from_le_bytes_8, int_from_le_bytes_8)
echo(Command.echo_bool, serialize_bool, deserialize_bool, deserialize_bool_only)
echo(Command.echo_str, serialize_str, deserialize_str, deserialize_str_only)
echo(Command.echo_bytes, serialize_bytes, deserialize_bytes, deserialize_bytes_only)
command(
    Command.length,
    make_server_deserializer(deserialize_cmd_msg_size),
    int_to_le_bytes_4,
    lambda size: size,
    serialize_cmd_msg_size,
    make_deserialize_only(deserialize_cmd_msg_size, "size"),
)

# Arrays, of all that there can be arrays of.

parse_row = make_deserialize_array(parse_int_from_le_bytes_2)
parse_point = make_deserialize_array_fixed_size(2, parse_int_from_le_bytes_4)
parse_record = make_deserializer(parse_int_from_le_bytes_1, deserialize_str, _and_remaining=True)

serialize_row = make_serialize_array(int_to_le_bytes_2)
serialize_point = make_serialize_array_fixed_size(2, int_to_le_bytes_4)
serialize_record = make_serializer(int_to_le_bytes_1, serialize_str, _splat_args=False)

echo(Command.echo_words, words, parse_words)
echo(Command.echo_strs, make_serialize_array(serialize_str), make_deserialize_array(deserialize_str))
echo(Command.echo_blobs, make_serialize_array(serialize_bytes), make_deserialize_array(deserialize_bytes))
echo(Command.echo_bools, make_serialize_array(serialize_bool), make_deserialize_array(deserialize_bool))
echo(Command.echo_rows, make_serialize_array(serialize_row), make_deserialize_array(parse_row))
echo(Command.echo_points, make_serialize_array(serialize_point), make_deserialize_array(parse_point))
echo(
    Command.echo_matrix,
    make_serialize_array_fixed_size(2, make_serialize_array_fixed_size(3, int_to_le_bytes_1)),
    make_deserialize_array_fixed_size(2, make_deserialize_array_fixed_size(3, parse_int_from_le_bytes_1)),
)
echo(
    Command.echo_pair,
    make_serialize_array_fixed_size(2, serialize_str),
    make_deserialize_array_fixed_size(2, deserialize_str),
)
echo(Command.echo_records, make_serialize_array(serialize_record), make_deserialize_array(parse_record))

# Several of them.

mixture = (int_to_le_bytes_1, serialize_bool, serialize_str, serialize_bytes, make_serialize_array(int_to_le_bytes_8))
parse_mixture = (
    parse_int_from_le_bytes_1,
    deserialize_bool,
    deserialize_str,
    deserialize_bytes,
    make_deserialize_array(parse_int_from_le_bytes_8),
)
command(
    Command.mixed,
    make_server_deserializer(*parse_mixture),
    make_serializer(*mixture, _splat_args=False),
    lambda *values: values,
    make_serializer(*mixture),
    make_deserializer_to_tuple(*parse_mixture),
)
command(
    Command.stretch,
    make_server_deserializer(deserialize_bytes, parse_int_from_le_bytes_4),
    serialize_bytes,
    lambda data, size: (data * (size // len(data) + 1))[:size],
    make_serializer(serialize_bytes, int_to_le_bytes_4),
    deserialize_bytes_only,
)
command(
    Command.narrow,
    make_server_deserializer(parse_int_from_le_bytes_8),
    int_to_le_bytes_2,
    lambda number: number,
    int_to_le_bytes_8,
    int_from_le_bytes_2,
)
command(
    Command.last, call_no_args, serialize_no_response, lambda: None, client_call_no_args, make_client_deserializer()
)

# What fails, and what takes time.


class OutOfPaper(Exception):
    pass


def _fail_locally(text: str) -> None:
    class OutOfInk(Exception):
        pass

    raise OutOfInk(text)


def _fail_because(text: str) -> None:
    try:
        raise KeyError("the cause")
    except KeyError as exc:
        raise ValueError(text) from exc


def _fail_meanwhile(text: str) -> None:
    try:
        raise ValueError("the first")
    except ValueError:
        raise ValueError(text)


def _impersonate(name: str) -> Callable[[str], None]:
    def fail(text: str) -> None:
        raise type(name, (Exception,), {})(text)

    return fail


_failures = {
    "OutOfInk": _fail_locally,
    "because": _fail_because,
    "meanwhile": _fail_meanwhile,
    "named SystemExit": _impersonate("SystemExit"),
    "named KeyboardInterrupt": _impersonate("KeyboardInterrupt"),
}


def fail(how: str, text: str) -> None:
    """Raises an exception: a builtin, the package's, or one of this module."""
    if how in _failures:
        _failures[how](text)
    for module in builtins, rpc_low_level:
        if hasattr(module, how):
            raise getattr(module, how)(text)
    raise OutOfPaper(text)


release = threading.Semaphore(0)


def hold() -> None:
    announce("began")
    release.acquire()


command(
    Command.fail,
    make_server_deserializer(deserialize_str, deserialize_str),
    serialize_no_response,
    fail,
    make_serializer(serialize_str, serialize_str),
    parse_no_response,
)
command(Command.hold, call_no_args, serialize_no_response, hold, serialize_no_args, parse_no_response)

client_spec = RpcClientSpec(requests=tuple(requests))
