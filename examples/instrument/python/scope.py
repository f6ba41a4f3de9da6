"""The oscilloscope of examples/instrument, for the Python package basic-socket-rpc.

This is scope.go once more, by hand: nothing compares the two, so that ids,
formats and the order of a struct's fields must be those of the Go contract.
Most formats have a serialiser in the package. Where none fits, as for
big-endian numbers, any function will do that makes bytes, or takes them.
"""

import struct
from enum import Enum
from typing import NamedTuple, Tuple

from basic_socket_rpc.rpc_blocking_client import gen_client_class
from basic_socket_rpc.rpc_serialization_functions import (
    deserialize_str_only,
    int_from_le_bytes_4,
    int_to_le_bytes_1,
    int_to_le_bytes_2,
    make_serializer,
    parse_int_from_le_bytes_1,
    parse_no_response,
    serialize_no_args,
)
from basic_socket_rpc.rpc_spec import RpcClientReq, RpcClientSpec


class Command(Enum):
    """The ids of the methods; their names are those of the client's methods."""

    identify = 1
    configure = 2
    settings = 3
    arm = 4
    acquire = 5
    statistics = 6
    # 7, abort, would wait for the acquisition: a connection has one call at a time


class Settings(NamedTuple):
    """A struct travels as its fields, one after another."""

    label: str  # at most 32 bytes
    drive: int  # amplitude of the generator in mV
    range: int  # full scale of both channels in mV
    rate: int  # samples a second
    samples: int  # of one waveform


class Statistics(NamedTuple):
    samples: int
    periods: int
    min: float  # in volts
    max: float
    mean: float


def serialize_short_str(text: str) -> bytes:
    """len=le1: one byte of length."""
    raw = text.encode()
    return int_to_le_bytes_1(len(raw)) + raw


def int_to_be_bytes_4(num: int) -> bytes:
    """be4 of an integer."""
    return num.to_bytes(4, "big")


serialize_fields = make_serializer(
    serialize_short_str, int_to_le_bytes_2, int_to_le_bytes_2, int_to_be_bytes_4, int_to_be_bytes_4
)


def serialize_settings(settings: Settings) -> bytes:
    return serialize_fields(*settings)


def parse_settings(bs) -> Settings:
    size, bs = parse_int_from_le_bytes_1(bs)
    label, bs = bytes(bs[:size]).decode(), bs[size:]
    return Settings(label, *struct.unpack("<HH", bs[:4]), *struct.unpack(">II", bs[4:]))


def parse_statistics(bs) -> Statistics:
    return Statistics(*struct.unpack(">IIfff", bs))


def parse_waveform(bs) -> Tuple[float, ...]:
    """A slice: the length of what follows, the count, both le4; then the elements, here floats in be4."""
    size, count = int_from_le_bytes_4(bs), int_from_le_bytes_4(bs[4:])
    if size != 4 + 4 * count:
        raise ValueError(f"waveform of {count} samples in {size} bytes")
    return struct.unpack(f">{count}f", bs[8:])


spec = RpcClientSpec(
    requests=(
        RpcClientReq(Command.identify, serialize_no_args, deserialize_str_only),
        # waits for as long as somebody else has the scope, which it takes
        RpcClientReq(Command.configure, serialize_settings, parse_no_response, response_timeout=600),
        RpcClientReq(Command.settings, serialize_no_args, parse_settings),
        RpcClientReq(Command.arm, serialize_no_args, parse_no_response),
        # 45 s and some: the package would wait for 20 s
        RpcClientReq(Command.acquire, int_to_le_bytes_1, parse_waveform, response_timeout=60),
        RpcClientReq(Command.statistics, serialize_no_args, parse_statistics),
    ),
)

Scope = gen_client_class(spec)
