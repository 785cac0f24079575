# SPDX-License-Identifier: Apache-2.0
"""Protobuf on the wire, without descriptors: fields that nobody knows stay as they are.

A message is a list of [number, wire type, value]; a value is a number for a varint, else bytes."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def put_varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def take_varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def decode(data):
    fields, at = [], 0
    while at < len(data):
        key, at = take_varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = take_varint(data, at)
        else:
            size = {FIXED64: 8, FIXED32: 4}.get(kind)
            if size is None:
                assert kind == BYTES, kind
                size, at = take_varint(data, at)
            value, at = data[at:at + size], at + size
        fields.append([key >> 3, kind, value])
    return fields


def encode(fields):
    out = b""
    for number, kind, value in fields:
        out += put_varint(number << 3 | kind)
        if kind == VARINT:
            out += put_varint(value)
        else:
            out += (put_varint(len(value)) if kind == BYTES else b"") + value
    return out


def get(fields, number, default=None):
    return next((value for n, _, value in fields if n == number), default)


def put(fields, number, value):
    """Replaces the field, or adds it."""
    kind = VARINT if isinstance(value, int) else BYTES
    fields[:] = [f for f in fields if f[0] != number] + [[number, kind, value]]


def signed(value):
    return value - (1 << 64) if value >> 63 else value
