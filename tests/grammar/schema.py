# SPDX-License-Identifier: Apache-2.0
"""The messages of rpc/proto/*.proto, made at random and encoded as JSON and as protobuf. What is encoded
may be wrong at any field: another type, a value at a boundary, something that is no JSON or no protobuf."""

import base64
import json
import re
import struct

from protobuf_wire import BYTES, FIXED32, FIXED64, VARINT, put_varint

TOKEN = re.compile(r"//[^\n]*|\"[^\"]*\"|[\w.]+|[{}()<>,;=]")
INTEGERS = {"int32", "int64", "uint32", "uint64", "sint32", "sint64"}
BOUNDARIES = (
    0, 1, 127, 128, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 53) + 1,
    (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -1, -(1 << 31), -(1 << 63),
)


class Field:
    def __init__(self, name, number, kind, repeated=False, oneof=None, scope=""):
        self.name, self.number, self.kind, self.repeated = name, number, kind, repeated
        self.oneof, self.scope = oneof, scope

    @property
    def json_name(self):
        return re.sub(r"_(\w)", lambda m: m[1].upper(), self.name)


class Schema:
    """messages: {full name: [Field]}; enums: {full name: {name: number}}; methods: {path: (request,
    whether the request is a stream, whether the response is)}."""

    def __init__(self, *texts):
        self.messages, self.enums, self.methods = {}, {}, {}
        for text in texts:
            tokens = [t for t in TOKEN.findall(text) if t[:2] != "//"]
            package = tokens[tokens.index("package") + 1]
            self._block(iter(tokens), package, None, None)

    def _block(self, tokens, scope, fields, oneof):
        """Reads up to the `}` of a block; `fields`: the message that it belongs to."""
        words = []
        for token in tokens:
            if token == "}":
                return
            if token not in "{;":
                words.append(token)
                continue
            what = words[0] if words else ""
            if token == "{" and what == "message":
                self._block(
                    tokens, f"{scope}.{words[1]}", self.messages.setdefault(f"{scope}.{words[1]}", []), None
                )
            elif token == "{" and what == "enum":
                self._enum(tokens, f"{scope}.{words[1]}")
            elif token == "{" and what == "oneof":
                self._block(tokens, scope, fields, words[1])
            elif token == "{":
                self._block(tokens, f"{scope}.{words[1]}", None, None)
            elif what == "rpc":
                at = words.index("returns")
                package = scope.rpartition(".")[0]
                self.methods[f"{scope}/{words[1]}"] = (
                    f"{package}.{words[at - 2]}", "stream" in words[:at], "stream" in words[at:],
                )
            elif fields is not None and words:
                self._field(words, scope, fields, oneof)
            words = []

    def _enum(self, tokens, name):
        words = self.enums[name] = {}
        before = []
        for token in tokens:
            if token == "}":
                return
            if token == ";":
                words[before[0]] = int(before[2])
                before = []
            else:
                before.append(token)

    def _field(self, words, scope, fields, oneof):
        at = words.index("=")
        name, number = words[at - 1], int(words[at + 1])
        if words[0] == "map":
            entry = f"{scope}.{name}-entry"
            self.messages[entry] = [Field("key", 1, words[2]), Field("value", 2, words[4])]
            fields.append(Field(name, number, entry, "map", None, scope))
        else:
            fields.append(Field(name, number, words[at - 2], "repeated" in words[:at], oneof, scope))

    def resolve(self, field):
        """The full name of a field's message or enum, or its scalar type."""
        scope = field.scope
        while scope:
            for name in (f"{scope}.{field.kind}", field.kind):
                if name in self.messages or name in self.enums:
                    return name
            scope = scope.rpartition(".")[0]
        return field.kind


class Maker:
    """Makes messages. `value(name of the message, field)` gives the value of a scalar, or None where any
    will do. `mischief`: the probability that a field is wrong."""

    def __init__(self, schema, rng, value, mischief):
        self.schema, self.rng, self.value, self.mischief = schema, rng, value, mischief

    def make(self, message, depth=0):
        """[(field, value)]; the value of a message is such a list, of a repeated field a list of values."""
        rng, chosen, made = self.rng, {}, []
        for field in self.schema.messages[message]:
            if field.oneof:
                chosen.setdefault(field.oneof, []).append(field)
            elif rng.random() < 0.9:
                made.append((field, self._values(message, field, depth)))
        for fields in chosen.values():
            if rng.random() < 0.95:
                field = rng.choice(fields)
                made.append((field, self._values(message, field, depth)))
            if rng.random() < self.mischief:
                field = rng.choice(fields)
                made.append((field, self._values(message, field, depth)))
        return made

    def _values(self, message, field, depth):
        if not field.repeated:
            return self._one(message, field, depth)
        given = self.value(message, field)
        if isinstance(given, list):
            return given
        return [self._one(message, field, depth) for _ in range(self.rng.choice((0, 1, 1, 2, 5)))]

    def _one(self, message, field, depth):
        kind = self.schema.resolve(field)
        if kind in self.schema.messages:
            return self.make(kind, depth + 1)
        given = self.value(message, field)
        if given is not None and not isinstance(given, list):
            return given
        if kind in self.schema.enums:
            return self.rng.choice([*self.schema.enums[kind].values(), 77, -1])
        if kind == "bool":
            return self.rng.random() < 0.5
        if kind in INTEGERS:
            return self.rng.choice((*BOUNDARIES, self.rng.randrange(300)))
        text = self.rng.choice(("", "a", "b\x00c", "ä€😀", "x" * self.rng.choice((1, 300, 70000))))
        return text.encode() if kind == "bytes" else text

    # ---- JSON ----

    def json(self, message):
        text = self._json_message(message)
        if self.rng.random() < self.mischief / 2:
            text = self.rng.choice(
                (
                    text + b"}", text[:-1], b"\xef\xbb\xbf" + text, b"[" + text + b"]", b"null",
                    text + b" \r\n\t", text.replace(b":", b" : "), text.replace(b'"', b"'"),
                    text + text, b"", b" ", text[: self.rng.randrange(len(text) + 1)],
                )
            )
        return text

    def _json_message(self, fields):
        rng, members = self.rng, []
        for field, value in fields:
            name = rng.choice((field.name, field.json_name))
            text = json.dumps(name).encode() + b":" + self._json_values(field, value)
            members += [text] * (2 if rng.random() < self.mischief / 2 else 1)
            if rng.random() < self.mischief / 2:
                members.append(
                    json.dumps(rng.choice(("unknown", "", "@type", "x" * 300))).encode()
                    + b":"
                    + self._json_junk()
                )
        return b"{" + b",".join(members) + (b"," if rng.random() < self.mischief / 8 else b"") + b"}"

    def _json_values(self, field, value):
        if self.rng.random() < self.mischief:
            return self._json_junk()
        if field.repeated == "map":
            pairs = [{f.name: v for f, v in entry} for entry in value]
            return (
                b"{"
                + b",".join(
                    self._json_one(None, str(pair.get("key", "")))
                    + b":"
                    + self._json_one(None, pair.get("value", ""))
                    for pair in pairs
                )
                + b"}"
            )
        if field.repeated:
            return b"[" + b",".join(self._json_one(field, item) for item in value) + b"]"
        return self._json_one(field, value)

    def _json_one(self, field, value):
        if isinstance(value, list):
            return self._json_message(value)
        if isinstance(value, bytes):
            text = self.rng.choice((base64.b64encode, base64.urlsafe_b64encode))(value).decode()
            return json.dumps(text.rstrip("=") if self.rng.random() < 0.3 else text).encode()
        kind = self.schema.resolve(field) if field else "string"
        if kind in self.schema.enums and self.rng.random() < 0.5:
            names = {number: name for name, number in self.schema.enums[kind].items()}
            return json.dumps(names.get(value, "SIGNAL_UNKNOWN")).encode()
        if kind.endswith("64") and self.rng.random() < 0.5:
            value = str(value)
        return json.dumps(value, ensure_ascii=self.rng.random() < 0.5).encode()

    def _json_junk(self):
        rng = self.rng
        deep = rng.choice((3, 99, 101, 9_999, 10_001, 30_000))
        return rng.choice(
            (
                lambda: b"null", lambda: b"[]", lambda: b"{}", lambda: b'"text"', lambda: b"true",
                lambda: b"nul", lambda: str(rng.choice(BOUNDARIES)).encode(),
                lambda: b'"%d"' % rng.choice(BOUNDARIES),
                lambda: rng.choice(
                    (
                        b"1e400", b"1.5", b"-0", b"01", b"1e-7", b"-", b"1.", b"0x1", b"NaN",
                        b"1" * 400, b"1e" + b"9" * 50,
                    )
                ),
                lambda: rng.choice(
                    (
                        rb'"\ud800"', rb'"\ud83d\ude00"', rb'"\u0000"', rb'"\x"', b'"\xff"',
                        b'"\xc0\x80"', b'"\x01"', b'"open', b'"\xed\xa0\x80"',
                    )
                ),
                lambda: b"[" * deep + b"]" * deep, lambda: b'{"a":' * deep + b"1" + b"}" * deep,
                lambda: b"[" * deep,
                lambda: b'"' + b"x" * rng.choice((255, 4096, 65_536, 200_000)) + b'"',
                lambda: b"[" + b",".join([b"{}"] * rng.choice((10, 5000))) + b"]",
            )
        )()

    # ---- protobuf ----

    def proto(self, message):
        data = self._proto_message(message)
        if self.rng.random() < self.mischief / 2:
            at = self.rng.randrange(len(data) + 1)
            data = self.rng.choice(
                (
                    data[:at], data + self._proto_junk(), data[:at] + self._proto_junk() + data[at:],
                    data + data, data[:at] + bytes([self.rng.randrange(256)]) + data[at + 1 :],
                )
            )
        return data

    def _proto_message(self, fields):
        out = b""
        for field, value in fields:
            if self.rng.random() < self.mischief:
                out += self._proto_junk(field.number)
                continue
            values = value if field.repeated else [value]
            for one in values:
                out += self._proto_one(field, one)
            if self.rng.random() < self.mischief / 2:
                out += self._proto_junk()
        return out

    def _proto_one(self, field, value):
        if isinstance(value, bool) or isinstance(value, int):
            if field.kind.startswith("sint"):
                value = value << 1 ^ value >> 63
            return put_varint(field.number << 3 | VARINT) + put_varint(int(value))
        if isinstance(value, list):
            value = self._proto_message(value)
        elif isinstance(value, str):
            value = value.encode("utf-8", "surrogatepass")
        return put_varint(field.number << 3 | BYTES) + put_varint(len(value)) + value

    def _proto_junk(self, number=None):
        rng = self.rng
        number = rng.choice((0, 1, 2, 15, 16, 1000, (1 << 29) - 1, 1 << 29)) if number is None else number
        deep = rng.choice((3, 99, 101, 5000))

        def key(kind):
            return put_varint(number << 3 | kind)

        def nested():
            data = b""
            for _ in range(deep):
                data = key(BYTES) + put_varint(len(data)) + data
            return data

        return rng.choice(
            (
                lambda: key(VARINT) + put_varint(rng.choice(BOUNDARIES)),
                lambda: key(VARINT) + b"\xff" * 11, lambda: key(VARINT) + b"\x80",
                lambda: key(FIXED64) + bytes(8), lambda: key(FIXED32) + bytes(4),
                lambda: key(FIXED64) + bytes(3), lambda: key(3), lambda: key(3) * deep + key(4) * deep,
                lambda: key(4), lambda: key(6), lambda: key(7),
                nested,
                lambda: key(BYTES) + put_varint(rng.choice(BOUNDARIES)),
                lambda: key(BYTES)
                + put_varint(4)
                + rng.choice((b"\xff\xfe\xfd\xfc", b"\0\0\0\0", b"\x08\x01\x08\x01")),
                lambda: key(BYTES) + put_varint(0), lambda: (key(BYTES) + put_varint(0)) * 3000,
            )
        )()


def envelope(data, flags=0):
    return struct.pack(">BI", flags, len(data)) + data
