"""Settings files: every fault at once, each with file, key, value and remedy; samples that say the truth."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import SettingsError
from config.fields import Address, HostPort
from config.hub import Effect, HubSettings, load_hub
from config.load import read_settings, render, sample
from config.node import Acknowledge, NodeSettings, load_node
from config.schema import ListOf, Section, TableOf, settings_of
from protocols.link import limits

INTERFACE_EXAMPLE = """
[http]
listen = "127.0.0.1:7610"
[mllp]
listen = "127.0.0.1:2575"
acknowledge = "stored"
from = "labo"
[[mllp.route]]
kind = "ORU^R01"
to = ["cardio@chu-alger"]
[mllp.deliver]
"labo" = "127.0.0.1:2576"
"*"    = "127.0.0.1:2577"
[api]
listen = "127.0.0.1:7611"
[folder]
path = "exchange"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


def faults(file: Path, text: str, load=load_node) -> list[tuple[str, str | None, str]]:  # type: ignore[no-untyped-def]  # noqa: ANN001  # either loader
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        load(file)
    assert {fault.file for fault in error.value.faults} == {str(file)}
    assert str(error.value).splitlines() == [str(fault) for fault in error.value.faults]
    return [(fault.key, fault.value, fault.right) for fault in error.value.faults]


def test_reads_the_documented_node_file(file: Path) -> None:
    file.write_text(INTERFACE_EXAMPLE)
    read = load_node(file)
    assert read.http.listen == HostPort("127.0.0.1", 7610)
    assert read.mllp is not None
    assert read.mllp.listen == HostPort("127.0.0.1", 2575)
    assert read.mllp.acknowledge is Acknowledge.STORED
    assert read.mllp.sender == "labo"
    assert [(route.kind, route.application, route.to) for route in read.mllp.routes] == [
        ("ORU^R01", "*", (Address("cardio", "chu-alger"),))
    ]
    assert list(read.mllp.deliver) == ["labo", "*"]
    assert read.mllp.deliver["*"] == HostPort("127.0.0.1", 2577)
    assert (read.mllp.max_message_bytes, read.mllp.answer_within_s) == (2**24, 4)
    assert read.mllp.delivery.answer_timeout_s == 30
    assert read.api is not None
    assert read.folder is not None
    assert read.folder.path == Path("exchange")


def test_an_empty_file_is_all_defaults_and_no_gateways(file: Path) -> None:
    file.write_text("")
    assert load_node(file) == NodeSettings()
    assert (load_node(file).mllp, load_node(file).api, load_node(file).folder) == (None, None, None)
    assert load_hub(file) == HubSettings()
    assert load_hub(file).disk.floor_bytes == 2 * 2**30


def test_reads_a_hub_file(file: Path) -> None:
    file.write_text(
        'hub.listen = "[::]:7600"\n[policy]\ndefault = "deny"\n'
        '[[policy.rule]]\neffect = "allow"\nfrom = "*@chu-*"\nkind = "ORU^*"\n'
        '[[policy.rule]]\neffect = "deny"\n'
    )
    read = load_hub(file)
    assert read.hub.listen == (HostPort("::", 7600),)
    assert [(rule.effect, rule.sender, rule.kind, rule.to) for rule in read.policy.rules] == [
        (Effect.ALLOW, "*@chu-*", "ORU^*", "*"),
        (Effect.DENY, "*", "*", "*"),
    ]


def test_reports_every_fault_at_once(file: Path) -> None:
    """The promise: one run, all faults, each with key, value and what would be right."""
    found = faults(
        file,
        """
        [http]
        listen = "7610"
        [mllp]
        acknowlege = "stored"
        max_message = 16
        max_connections = true
        answer_within = "11m"
        acknowledge = "later"
        [[mllp.route]]
        kind = "oru"
        to = []
        [[mllp.route]]
        to = ["cardio@chu-alger", "nobody", 7]
        [[mllp.route]]
        [mllp.deliver]
        "labo" = "127.0.0.1"
        "La Bo" = "127.0.0.1:1"
        [messages.valid_for_kind]
        "ORU^R01" = "soon"
        [disk]
        floor = "1B"
        [fodler]
        path = "x"
        """,
    )
    right = {key: (value, text) for key, value, text in found}
    assert right["http.listen"][0] == '"7610"'
    assert right["mllp.acknowlege"] == ('"stored"', 'is not a setting; did you mean "acknowledge"?')
    assert right["mllp.max_message"] == ("16", 'needs a size in quotes, as in "16MiB"')
    assert right["mllp.max_connections"] == ("true", "needs a whole number from 1 to 10,000")
    assert right["mllp.answer_within"] == ('"11m"', "needs to be from 100ms to 10m")
    assert right["mllp.acknowledge"][1] == 'needs one of "stored", "accepted", "delivered", "processed"'
    assert '"ORU^R01"' in right["mllp.route[1].kind"][1]
    assert right["mllp.route[1].to"] == ("[]", "needs a list of 1 to 10,000 values in [ ]")
    assert right["mllp.route[2].to[2]"][0] == '"nobody"'
    assert right["mllp.route[2].to[3]"] == ("7", 'needs "mailbox@facility" in quotes')
    assert right["mllp.route[3].to"] == (None, "is missing, and nothing can stand in for it")
    assert right['mllp.deliver."labo"'][0] == '"127.0.0.1"'
    assert right['mllp.deliver."La Bo"'][1].startswith("needs 1 to 63 of a-z")
    assert right['messages.valid_for_kind."ORU^R01"'][0] == '"soon"'
    assert right["disk.floor"] == ('"1B"', "needs to be from 1MiB to 100TiB")
    assert right["fodler"] == ("{…}", 'is not a setting; did you mean "folder"?')
    assert len(found) == len(right) == 16


def test_a_fault_reads_as_one_line(file: Path) -> None:
    faults(file, '[mllp.deliver]\n"labo" = "127.0.0.1"')
    with pytest.raises(SettingsError) as error:
        load_node(file)
    assert str(error.value) == (
        f'{file}: mllp.deliver."labo" = "127.0.0.1": '
        'needs a host and a port, as in "127.0.0.1:2575" or "[::1]:2575"'
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("http = 3", "http"),
        ("[[http]]", "http"),
        ("[mllp]\nroute = 1", "mllp.route"),
        ("mllp.deliver = []", "mllp.deliver"),
    ],
)
def test_a_table_is_a_table(file: Path, text: str, key: str) -> None:
    assert [found[0] for found in faults(file, text)] == [key]


def test_settings_that_contradict_each_other_are_faults(file: Path) -> None:
    text = '[mllp.delivery]\nretry_first = "10m"\nretry_cap = "1m"'
    assert [found[0] for found in faults(file, text)] == ["mllp.delivery.retry_first"]


def test_an_envelope_has_no_third_part_of_msh_9_to_be_matched(file: Path) -> None:
    """A rule that could never match would let through what it was written to stop."""
    rule = '[[policy.rule]]\neffect = "deny"\nkind = "ADT^A01^ADT_A01"'
    [(key, value, right)] = faults(file, rule, load_hub)
    assert (key, value) == ("policy.rule[1].kind", '"ADT^A01^ADT_A01"')
    assert right == 'needs the first two parts of MSH-9 or the first alone, as in "ADT^A01" or "ADT"'
    kinds = '[messages.valid_for_kind]\n"ADT^A01^ADT_A01" = "1h"'
    assert [found[0] for found in faults(file, kinds)] == ['messages.valid_for_kind."ADT^A01^ADT_A01"']
    route = '[[mllp.route]]\nkind = "ADT^A01^ADT_A01"\nto = ["labo@chu-alger"]'
    file.write_text(route, encoding="utf-8")
    mllp = load_node(file).mllp
    assert mllp is not None
    assert [one.kind for one in mllp.routes] == ["ADT^A01^ADT_A01"]


def test_no_message_is_given_longer_than_an_envelope_can_say(file: Path) -> None:
    """Every put under such a setting would be refused."""
    longest = f"{limits.VALID_FOR_MAX_MS // 1000}s"
    file.write_text(f'[messages]\nvalid_for = "{longest}"\nvalid_for_kind.ORU = "{longest}"')
    messages = load_node(file).messages
    assert messages.valid_for_s * 1000 == messages.valid_for_kind_s["ORU"] * 1000 == limits.VALID_FOR_MAX_MS
    text = '[messages]\nvalid_for = "91d"\nvalid_for_kind.ORU = "91d"'
    assert [found[0] for found in faults(file, text)] == [
        "messages.valid_for",
        'messages.valid_for_kind."ORU"',
    ]
    assert [found[0] for found in faults(file, '[messages]\nvalid_for_max = "91d"', load_hub)] == [
        "messages.valid_for_max"
    ]


def test_a_hub_offers_no_larger_window_than_the_protocol_says(file: Path) -> None:
    file.write_text(f"[limits]\ncredit_messages = {limits.SUBMIT_WINDOW}")
    assert load_hub(file).limits.credit_messages == limits.SUBMIT_WINDOW
    text = f"[limits]\ncredit_messages = {limits.SUBMIT_WINDOW + 1}"
    assert [found[0] for found in faults(file, text, load_hub)] == ["limits.credit_messages"]


def test_far_off_keys_are_answered_with_what_is_known(file: Path) -> None:
    assert faults(file, "[disk]\nzzz = 1") == [("disk.zzz", "1", "is not a setting; known: floor")]


def test_a_database_password_is_not_shown(file: Path) -> None:
    [(key, value, _)] = faults(file, '[database]\nurl = "mysql://wasl:hunter2@db/wasl"', load_hub)
    assert (key, value) == ("database.url", None)


@pytest.mark.parametrize(
    ("content", "right"),
    [
        (b"[http\n", "is not TOML: .*line 1"),
        (b"a = 1\na = 2\n", "is not TOML"),
        (b"x = 1\ny = '\xff'\n", "needs to be UTF-8, and line 2 is not"),
        (b"#" * (1 << 20) + b"\n", "needs to be at most 1,048,576 bytes"),
        (b"a=" + b"[" * 50_000, "is not TOML"),
        (b"a=" + b"9" * 50_000, "is not TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_one_fault(file: Path, content: bytes, right: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError) as error:
        load_node(file)
    [fault] = error.value.faults
    assert (fault.file, fault.key) == (str(file), "")
    assert re.match(right, fault.right)


def test_a_file_that_cannot_be_opened_is_one_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing.toml: does not exist; init or join make it"):
        load_node(tmp_path / "missing.toml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_node(tmp_path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["mllp", "http", "listen", "route", "to", "deliver", "labo", "x"]),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_no_shape_of_file_raises_anything_else(raw: object) -> None:
    from config.schema import Place, UnreadableError  # noqa: PLC0415  # only this test goes below the files

    noted: list[Any] = []
    try:
        Section(NodeSettings).read(raw, Place("node.toml", "", noted))
    except UnreadableError:
        assert noted
    else:
        assert not noted


def test_rendered_files_read_back_and_hold_only_what_was_given(file: Path) -> None:
    text = render(
        {
            "hub": {"name": "dz", "listen": ["0.0.0.0:7600"], "advertise": None},
            "database": {"url": 'sqlite:////var/a"b\\c.db'},
            "log": {},
        },
        title="The hub of a test",
    )
    assert text.startswith("# The hub of a test\n")
    assert tomllib.loads(text) == {
        "hub": {"name": "dz", "listen": ["0.0.0.0:7600"]},
        "database": {"url": 'sqlite:////var/a"b\\c.db'},
    }
    file.write_text(text)
    assert load_hub(file).hub.name == "dz"


@given(st.text(), st.text(max_size=20))
def test_whatever_is_rendered_reads_back(value: str, key: str) -> None:
    assert tomllib.loads(render({"table": {key: [value]}}, title="x")) == {"table": {key: [value]}}


def switched_on(text: str) -> str:
    """Take the "#" from every line of a sample that is a setting or a table."""
    return re.sub(r'^#(?=[\[a-z"])', "", text, flags=re.MULTILINE)


def check_names_everything(cls: type, raw: dict[str, Any], where: str) -> None:
    for key, setting in settings_of(cls).items():
        place = f"{where}{key}"
        assert key in raw, f"the sample does not name {place}"
        kind, inner = setting.kind, raw[key]
        if isinstance(kind, Section):
            check_names_everything(kind.cls, inner, f"{place}.")
        elif isinstance(kind, ListOf) and isinstance(kind._item, Section):
            check_names_everything(kind._item.cls, inner[0], f"{place}.")
        elif not setting.required and setting.default is not None and not isinstance(kind, TableOf):
            assert inner == setting.default, f"the sample's {place} is not the default"


@pytest.mark.parametrize(("name", "cls"), [("node.toml", NodeSettings), ("hub.toml", HubSettings)])
def test_the_sample_as_it_stands_changes_nothing(file: Path, name: str, cls: type) -> None:
    file.write_text(sample(name))
    assert read_settings(file, cls) == cls()


@pytest.mark.parametrize(("name", "cls"), [("node.toml", NodeSettings), ("hub.toml", HubSettings)])
def test_the_sample_names_every_setting_with_its_default(file: Path, name: str, cls: type) -> None:
    text = switched_on(sample(name))
    file.write_text(text)
    read_settings(file, cls)  # so it names nothing that does not exist
    check_names_everything(cls, tomllib.loads(text), "")
