"""Property values survive the way to the plugin and back."""

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

from rehearsal.plugins.values import Asset, Secret, Unknown, Values, decode, encode, is_unknown, plain


def test_every_kind_of_value_comes_back_as_it_was() -> None:
    """A value that changes on the way would show as a change of every step, at every `up`."""
    values: Values = {
        "flag": False,
        "number": 2.5,
        "text": "",
        "list": [1.0, "a", [], {}],
        "object": {"a-b": {"c": True}},
        "secret": Secret({"inner": Secret("s")}),
        "unknown": Unknown(),
        "asset": Asset(False, "h", path="/a"),
        "archive": Asset(True, "h", path="/b/"),
    }
    assert decode(encode(values)) == values
    returned = decode(encode(values))["archive"]
    assert isinstance(returned, Asset)
    assert returned.path == "/b/"


def test_a_secret_that_is_unknown_stays_both() -> None:
    """Sent as a mere unknown, its later value would be shown."""
    value = decode(encode({"a": Secret(Unknown())}))["a"]
    assert isinstance(value, Secret)
    assert is_unknown(value)


def test_an_output_value_is_folded() -> None:
    """The engine may send outputs with dependencies; taken as an object, a host would be a dictionary."""
    wire = struct_pb2.Struct()
    wire.update({"host": {rpc._special_sig_key: rpc._special_output_value_sig, "value": "db1", "dependencies": ["u"]}})
    assert decode(wire) == {"host": "db1"}


def test_nulls_are_left_out() -> None:
    """A null that counts as a value would be a change against its absence."""
    wire = struct_pb2.Struct()
    wire.update({"delete": None, "create": "c"})
    assert decode(wire) == {"create": "c"}


def test_plain_opens_secrets_at_any_depth() -> None:
    """A closed key inside the connection would reach the server as a Python object."""
    assert plain(Secret({"list": [Secret("a")], "object": {"key": Secret("b")}})) == {
        "list": ["a"],
        "object": {"key": "b"},
    }


def test_an_empty_text_is_told_by_its_hash() -> None:
    """An asset whose content the engine withheld must not be taken for an empty file, and copied as one."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Asset(False, empty).is_text
    assert not Asset(False, "another").is_text
