# SPDX-License-Identifier: Apache-2.0
"""The messages of the two services, by name and field number: enough to write a request in either
codec and to read an answer back into the same form."""

from protobuf_wire import put_varint, take_varint

# name: (number, type); `*` marks a repeated field, `{}` a map of strings, `?` explicit presence.
SCHEMA = {
    "ListRequest": {},
    "ListResponse": {"processes": (1, "*ProcessInfo")},
    "StartRequest": {"process": (1, "ProcessConfig"), "pty": (2, "PTY"), "tag": (3, "?string"),
                     "stdin": (4, "?bool")},
    "StartResponse": {"event": (1, "ProcessEvent")},
    "ConnectRequest": {"process": (1, "ProcessSelector")},
    "ConnectResponse": {"event": (1, "ProcessEvent")},
    "UpdateRequest": {"process": (1, "ProcessSelector"), "pty": (2, "PTY")},
    "StreamInputRequest": {"start": (1, "StreamInputStart"), "data": (2, "StreamInputData"),
                           "keepalive": (3, "Empty")},
    "StreamInputStart": {"process": (1, "ProcessSelector")},
    "StreamInputData": {"input": (2, "ProcessInput")},
    "SendInputRequest": {"process": (1, "ProcessSelector"), "input": (2, "ProcessInput")},
    "SendSignalRequest": {"process": (1, "ProcessSelector"), "signal": (2, "Signal")},
    "CloseStdinRequest": {"process": (1, "ProcessSelector")},
    "ProcessConfig": {"cmd": (1, "string"), "args": (2, "*string"), "envs": (3, "{}"),
                      "cwd": (4, "?string")},
    "PTY": {"size": (1, "Size")},
    "Size": {"cols": (1, "uint32"), "rows": (2, "uint32")},
    "ProcessInfo": {"config": (1, "ProcessConfig"), "pid": (2, "uint32"), "tag": (3, "?string")},
    "ProcessSelector": {"pid": (1, "?uint32"), "tag": (2, "?string")},
    "ProcessInput": {"stdin": (1, "?bytes"), "pty": (2, "?bytes")},
    "ProcessEvent": {"start": (1, "StartEvent"), "data": (2, "DataEvent"), "end": (3, "EndEvent"),
                     "keepalive": (4, "Empty")},
    "StartEvent": {"pid": (1, "uint32")},
    "DataEvent": {"stdout": (1, "?bytes"), "stderr": (2, "?bytes"), "pty": (3, "?bytes")},
    "EndEvent": {"exitCode": (1, "sint32"), "exited": (2, "bool"), "status": (3, "string"),
                 "error": (4, "?string")},
    "Empty": {},
    "StatRequest": {"path": (1, "string")},
    "StatResponse": {"entry": (1, "EntryInfo")},
    "MakeDirRequest": {"path": (1, "string")},
    "MakeDirResponse": {"entry": (1, "EntryInfo")},
    "MoveRequest": {"source": (1, "string"), "destination": (2, "string")},
    "MoveResponse": {"entry": (1, "EntryInfo")},
    "ListDirRequest": {"path": (1, "string"), "depth": (2, "uint32")},
    "ListDirResponse": {"entries": (1, "*EntryInfo")},
    "RemoveRequest": {"path": (1, "string")},
    "WatchDirRequest": {"path": (1, "string"), "recursive": (2, "bool"),
                        "includeEntry": (3, "bool"), "allowNetworkMounts": (4, "bool")},
    "WatchDirResponse": {"start": (1, "Empty"), "filesystem": (2, "FilesystemEvent"),
                         "keepalive": (3, "Empty")},
    "CreateWatcherRequest": {"path": (1, "string"), "recursive": (2, "bool"),
                             "includeEntry": (3, "bool"), "allowNetworkMounts": (4, "bool")},
    "CreateWatcherResponse": {"watcherId": (1, "string")},
    "GetWatcherEventsRequest": {"watcherId": (1, "string")},
    "GetWatcherEventsResponse": {"events": (1, "*FilesystemEvent")},
    "RemoveWatcherRequest": {"watcherId": (1, "string")},
    "EntryInfo": {"name": (1, "string"), "type": (2, "FileType"), "path": (3, "string"),
                  "size": (4, "int64"), "mode": (5, "uint32"), "permissions": (6, "string"),
                  "owner": (7, "string"), "group": (8, "string"),
                  "modifiedTime": (9, "Timestamp"), "symlinkTarget": (10, "?string"), "isSymlink": (12, "bool"),
                  "metadata": (11, "{}")},
    "FilesystemEvent": {"name": (1, "string"), "type": (2, "EventType"),
                        "entry": (3, "EntryInfo")},
    "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "uint32")},
}
ENUMS = {
    "Signal": {"SIGNAL_UNSPECIFIED": 0, "SIGNAL_SIGTERM": 15, "SIGNAL_SIGKILL": 9},
    "FileType": {"FILE_TYPE_UNSPECIFIED": 0, "FILE_TYPE_FILE": 1, "FILE_TYPE_DIRECTORY": 2,
                 "FILE_TYPE_SYMLINK": 3},
    "EventType": {"EVENT_TYPE_UNSPECIFIED": 0, "EVENT_TYPE_CREATE": 1, "EVENT_TYPE_WRITE": 2,
                  "EVENT_TYPE_REMOVE": 3, "EVENT_TYPE_RENAME": 4, "EVENT_TYPE_CHMOD": 5},
}
STREAMS = ("Start", "Connect", "WatchDir", "StreamInput")


def _encode_value(number, kind, value):
    if kind in SCHEMA:
        data = encode(kind, value)
    elif kind == "string":
        data = value.encode()
    elif kind == "bytes":
        import base64
        data = base64.b64decode(value)
    else:
        if kind in ENUMS:
            value = ENUMS[kind].get(value, value)
        value = int(value)
        if kind == "sint32":
            value = value << 1 ^ value >> 31
        return put_varint(number << 3) + put_varint(value)
    return put_varint(number << 3 | 2) + put_varint(len(data)) + data


def encode(name, message):
    """A message in the form of its JSON, as protobuf."""
    out = b""
    for key, value in message.items():
        number, kind = SCHEMA[name][key]
        if kind == "{}":
            for k, v in value.items():
                entry = _encode_value(1, "string", k) + _encode_value(2, "string", v)
                out += put_varint(number << 3 | 2) + put_varint(len(entry)) + entry
        elif kind[0] == "*":
            for item in value:
                out += _encode_value(number, kind[1:], item)
        elif value or kind[0] == "?" or kind in SCHEMA:
            out += _encode_value(number, kind.lstrip("?"), value)
    return out


def _decode_scalar(kind, value):
    if kind == "sint32":
        return value >> 1 ^ -(value & 1)
    if kind == "bool":
        return bool(value)
    if kind == "int64":  # a string in JSON
        return str(value - (1 << 64) if value >> 63 else value)
    if kind in ENUMS:
        return {number: text for text, number in ENUMS[kind].items()}.get(value, value)
    return value


def _decode_bytes(kind, data):
    if kind == "Timestamp":
        return "<time>"
    if kind in SCHEMA:
        return decode(kind, data)
    if kind == "bytes":
        import base64
        return base64.b64encode(data).decode()
    return data.decode(errors="replace")


def decode(name, data):
    """Protobuf in the form of its JSON; unknown fields appear by their number."""
    fields = {number: (key, kind) for key, (number, kind) in SCHEMA[name].items()}
    out, at = {}, 0
    while at < len(data):
        tag, at = take_varint(data, at)
        key, kind = fields.get(tag >> 3, (f"field {tag >> 3}", "string"))
        if tag & 7 == 0:
            value, at = take_varint(data, at)
            value = _decode_scalar(kind.lstrip("?"), value)
        elif tag & 7 == 2:
            size, at = take_varint(data, at)
            value, at = data[at:at + size], at + size
            if kind == "{}":
                entry = decode("MapEntry", value)
                out.setdefault(key, {})[entry.get("key", "")] = entry.get("value", "")
                continue
            value = _decode_bytes(kind.lstrip("?*"), value)
        else:
            raise ValueError(f"wire type {tag & 7}")
        if kind[0] == "*":
            out.setdefault(key, []).append(value)
        else:
            out[key] = value
    return out


SCHEMA["MapEntry"] = {"key": (1, "string"), "value": (2, "string")}
