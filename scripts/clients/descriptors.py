"""Compares the server's description of the protocol with a client's, field by field."""

import pathlib

from google.protobuf import descriptor_pb2

_FIELD = ("number", "type", "type_name", "label")
_METHOD = ("input_type", "output_type", "client_streaming", "server_streaming")


def compare(server, *client_files, complete=False, differs=()):
    """Fails where the two contradict each other.

    `server` is the path of a file descriptor set, `client_files` are file descriptors. With `complete`, the client must
    know everything that the server knows. `differs` names what this client has otherwise than the public protocol.
    """
    files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(server).read_bytes()).file
    ours, theirs = {}, {}
    for file in files:
        _collect(file, ours)
    for file in client_files:
        description = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(description)
        _collect(description, theirs)
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 50, f"only {len(shared)} names are shared"
    different = {name for name in shared if ours[name] != theirs[name]}
    if complete:
        different |= ours.keys() - theirs.keys()
    assert different == set(differs), "\n".join(
        f"{name}: {ours.get(name)} here, {theirs.get(name)} there" for name in sorted(different ^ set(differs))
    )


def _collect(file, facts):
    for message in file.message_type:
        _collect_message(f"{file.package}.{message.name}", message, facts)
    for enum in file.enum_type:
        for value in enum.value:
            facts[f"{file.package}.{enum.name}.{value.name}"] = value.number
    for service in file.service:
        for method in service.method:
            name = f"{file.package}.{service.name}.{method.name}"
            facts[name] = tuple(getattr(method, fact) for fact in _METHOD)


def _collect_message(name, message, facts):
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
        facts[f"{name}.{field.name}"] = (*(getattr(field, fact) for fact in _FIELD), oneof)
    for nested in message.nested_type:
        _collect_message(f"{name}.{nested.name}", nested, facts)
