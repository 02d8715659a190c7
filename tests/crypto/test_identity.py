"""What the authority signed is read back; nothing else is, whoever made it."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import identity
from crypto.errors import BadStatement
from crypto.identity import Credential, Group, Revocation, Statement
from crypto.keys import LinkPublicKey, SealingPublicKey, SigningPrivateKey, SigningPublicKey
from crypto.primitives import x25519_low_order
from tests.crypto.test_primitives import LOW_ORDER_POINTS

AUTHORITY = SigningPrivateKey(b"\x11" * 32)
CREDENTIAL = Credential(
    facility="chu-mustapha",
    serial=3,
    link_key=LinkPublicKey(b"\x01" * 32),
    signing_key=SigningPublicKey(b"\x02" * 32),
    sealing_key=SealingPublicKey(b"\x03" * 32),
    not_before_ms=1_000_000,
    not_after_ms=2_000_000,
)
REVOCATION = Revocation(facility="chu-mustapha", serial=3, at_ms=1_500_000, reason="مفتاح مسروق")
GROUP = Group(name="cardio-all", serial=1, members=("cardio@chu-alger", "cardio@chu-mustapha"))
STATEMENTS: list[Statement] = [CREDENTIAL, REVOCATION, GROUP]

ids = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,62}", fullmatch=True)
integers = st.integers(0, identity.MAX_INTEGER)
raw_keys = st.binary(min_size=32, max_size=32)
x25519_keys = raw_keys.filter(lambda raw: not x25519_low_order(raw))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
statements = st.one_of(
    st.builds(
        Credential,
        facility=ids,
        serial=integers,
        link_key=x25519_keys.map(LinkPublicKey),
        signing_key=raw_keys.map(SigningPublicKey),
        sealing_key=x25519_keys.map(SealingPublicKey),
        not_before_ms=st.integers(0, 10**13),
        not_after_ms=st.integers(10**13 + 1, identity.MAX_INTEGER),
    ),
    st.builds(Revocation, facility=ids, serial=integers, at_ms=integers, reason=texts),
    st.builds(
        Group,
        name=ids,
        serial=integers,
        members=st.lists(st.tuples(ids, ids).map("@".join), max_size=20, unique=True).map(tuple),
    ),
)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(BadStatement) as caught:
        call()
    return caught.value.code


def code_of_blob(blob: bytes) -> str:
    return code_of(lambda: identity.verify(blob, AUTHORITY.public))


def sign_raw(number: int, payload: bytes) -> bytes:
    """Let the authority sign any payload: for statements that a right ``issue`` would never make."""
    signature = AUTHORITY.sign(identity.DOMAINS[number] + payload)
    return msgspec.msgpack.encode([number, payload, signature])


@given(statement=statements)
def test_what_is_issued_is_read_back(statement: Statement) -> None:
    blob = identity.issue(AUTHORITY, statement)
    assert identity.verify(blob, AUTHORITY.public) == statement
    assert identity.issue(AUTHORITY, statement) == blob


def test_the_encoding_is_pinned() -> None:
    """Nodes of other versions and in other languages verify these bytes."""
    assert identity.issue(AUTHORITY, CREDENTIAL).hex() == (
        "9301c47f97ac6368752d6d7573746170686103c420010101010101010101010101010101010101010101010101"
        "0101010101010101c4200202020202020202020202020202020202020202020202020202020202020202c42003"
        "03030303030303030303030303030303030303030303030303030303030303ce000f4240ce001e8480c440e8e4"
        "775fe03dc6d0847c5ebd568a80030f91ca293d8f72228037c974b508d03bca17cafa086bba004f2cdaa5ef28c5"
        "bd592758015e3546444a6b64f7ded6a50f"
    )
    assert identity.issue(AUTHORITY, REVOCATION).hex() == (
        "9302c42a94ac6368752d6d7573746170686103ce0016e360b5d985d981d8aad8a7d8ad20d985d8b3d8b1d988d9"
        "82c4408481957351823dc76b17a9ba84ee350c0200a0d333e39038f8119cfd8d7156cc08b18b6bbc620c010463"
        "bc6465cf492851a6a732abf91533bb7ecd0b75fc6c0c"
    )
    assert identity.issue(AUTHORITY, GROUP).hex() == (
        "9303c43393aa63617264696f2d616c6c0192b063617264696f406368752d616c676572b363617264696f406368"
        "752d6d75737461706861c440e4cdbfe8f6b4baa06dab2f7d88e2d5d9f8ba6c707a89faebde438ece3836b5bab3"
        "ca6921fc42ec72a6c86135fad7528b174d97265495ff625b53cd3d07279f09"
    )


@pytest.mark.parametrize("statement", STATEMENTS)
def test_another_authority_is_refused(statement: Statement) -> None:
    blob = identity.issue(SigningPrivateKey.generate(), statement)
    assert code_of_blob(blob) == identity.WRONG_AUTHORITY


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_bit_flipped_anywhere_is_refused(statement: Statement) -> None:
    blob = identity.issue(AUTHORITY, statement)
    for position in range(len(blob)):
        false = bytearray(blob)
        false[position] ^= 1
        assert code_of_blob(bytes(false)) in {
            identity.MALFORMED,
            identity.WRONG_AUTHORITY,
        }


def test_truncated_and_extended_blobs_are_malformed() -> None:
    blob = identity.issue(AUTHORITY, GROUP)
    for false in [blob[:length] for length in range(len(blob))] + [blob + b"\x00"]:
        assert code_of_blob(false) == identity.MALFORMED


@given(noise=st.binary(max_size=300))
def test_noise_raises_nothing_but_our_own_exception(noise: bytes) -> None:
    assert code_of_blob(noise) in {identity.MALFORMED, identity.WRONG_AUTHORITY}


@given(
    payload=st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(2**63), 2**64 - 1),
                st.binary(max_size=40),
                st.text(max_size=9),
            ),
            lambda inner: st.lists(inner, max_size=8),
        ).map(msgspec.msgpack.encode),
    ),
    number=st.sampled_from([1, 2, 3]),
)
def test_even_signed_noise_raises_nothing_but_our_own_exception(payload: bytes, number: int) -> None:
    blob = sign_raw(number, payload)
    try:
        statement: Statement | str = identity.verify(blob, AUTHORITY.public)
    except BadStatement as error:
        statement = error.code
    if isinstance(statement, str):
        assert statement == identity.MALFORMED
    else:
        assert identity.issue(AUTHORITY, statement) == blob


def test_a_signature_does_not_carry_over_to_another_type() -> None:
    """A payload that fits two types is signed for one."""
    number, payload, signature = msgspec.msgpack.decode(identity.issue(AUTHORITY, GROUP))
    assert number == 3
    for other in (1, 2):
        blob = msgspec.msgpack.encode([other, payload, signature])
        assert code_of_blob(blob) == identity.WRONG_AUTHORITY


@pytest.mark.parametrize("number", [0, 4, -1, 2**40])
def test_an_unknown_type_is_malformed(number: int) -> None:
    blob = msgspec.msgpack.encode([number, b"", bytes(64)])
    assert code_of_blob(blob) == identity.MALFORMED


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_malformed(length: int) -> None:
    blob = msgspec.msgpack.encode([3, b"", bytes(length)])
    assert code_of_blob(blob) == identity.MALFORMED


def test_a_second_encoding_of_the_same_statement_is_malformed() -> None:
    number, payload, signature = msgspec.msgpack.decode(identity.issue(AUTHORITY, GROUP))
    longer_payload = b"\xdc\x00\x03" + payload[1:]  # array 16 instead of fixarray
    assert code_of_blob(sign_raw(number, longer_payload)) == "malformed"
    longer_wire = b"\xdc\x00\x03" + msgspec.msgpack.encode([number, payload, signature])[1:]
    assert code_of_blob(longer_wire) == "malformed"


def test_an_additional_field_is_malformed() -> None:
    payload = msgspec.msgpack.encode(["g", 1, [], "more"])
    assert code_of_blob(sign_raw(3, payload)) == identity.MALFORMED


def test_an_oversized_blob_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadStatement, match="at most 8192"):
        identity.verify(bytes(identity.MAX_STATEMENT_BYTES + 1), AUTHORITY.public)


def test_a_statement_above_the_bound_is_not_issued() -> None:
    name = "a" * 60
    members = tuple(f"{name}{number:02}@{name}{number:02}" for number in range(64))
    with pytest.raises(BadStatement, match="at most 8192"):
        identity.issue(AUTHORITY, Group(name="g", serial=1, members=members))


BAD_FIELDS: list[tuple[Statement, dict[str, object], str]] = [
    (CREDENTIAL, {"facility": ""}, "facility ''"),
    (CREDENTIAL, {"facility": "CHU"}, "facility 'CHU'"),
    (CREDENTIAL, {"facility": "chu\n"}, "facility"),
    (CREDENTIAL, {"facility": "-chu"}, "facility"),
    (CREDENTIAL, {"facility": "a" * 64}, "1 to 63"),
    (CREDENTIAL, {"serial": -1}, "serial -1"),
    (CREDENTIAL, {"serial": 2**63}, "serial"),
    (CREDENTIAL, {"not_after_ms": 1_000_000}, "must be later"),
    (CREDENTIAL, {"not_before_ms": -1}, "not_before_ms -1"),
    (CREDENTIAL, {"not_after_ms": 2**63}, "not_after_ms"),
    (REVOCATION, {"reason": "x" * 201}, "200 characters"),
    (REVOCATION, {"at_ms": -1}, "at_ms -1"),
    (REVOCATION, {"facility": "a@b"}, "facility 'a@b'"),
    (GROUP, {"name": "all mailboxes"}, "group name"),
    (GROUP, {"members": ("cardio",)}, "mailbox@facility"),
    (GROUP, {"members": ("cardio@",)}, "mailbox@facility"),
    (GROUP, {"members": ("a@b@c",)}, "mailbox@facility"),
    (GROUP, {"members": ("a@b", "a@b")}, "each member once"),
    (GROUP, {"members": tuple(f"m{n}@f" for n in range(65))}, "at most 64"),
]


@pytest.mark.parametrize(("statement", "change", "text"), BAD_FIELDS)
def test_a_field_out_of_its_bounds_is_malformed_here_and_when_signed(
    statement: Statement, change: dict[str, object], text: str
) -> None:
    with pytest.raises(BadStatement, match=text) as caught:
        msgspec.structs.replace(statement, **change)
    assert caught.value.code == identity.MALFORMED
    fields = msgspec.structs.asdict(statement) | change
    payload = msgspec.msgpack.encode([bytes(v) if hasattr(v, "raw") else v for v in fields.values()])
    number = next(n for n, kind in identity.TYPES.items() if type(statement) is kind)
    assert code_of_blob(sign_raw(number, payload)) == identity.MALFORMED


def test_a_key_of_another_length_is_malformed_even_when_signed() -> None:
    payload = msgspec.msgpack.encode(["f", 1, bytes(31), bytes(32), bytes(32), 1, 2])
    assert code_of_blob(sign_raw(1, payload)) == identity.MALFORMED


def test_a_lone_surrogate_is_not_issued() -> None:
    statement = Revocation(facility="f", serial=1, at_ms=1, reason="\ud800")
    assert code_of(lambda: identity.issue(AUTHORITY, statement)) == identity.MALFORMED


def test_validity_includes_both_ends_and_the_tolerance() -> None:
    for now_ms in (1_000_000, 1_500_000, 2_000_000):
        identity.check_validity(CREDENTIAL, now_ms, 0)
    for now_ms in (999_000, 2_001_000):
        identity.check_validity(CREDENTIAL, now_ms, 1_000)
    assert code_of(lambda: identity.check_validity(CREDENTIAL, 999_999, 0)) == identity.NOT_YET_VALID
    assert code_of(lambda: identity.check_validity(CREDENTIAL, 998_999, 1_000)) == identity.NOT_YET_VALID
    assert code_of(lambda: identity.check_validity(CREDENTIAL, 2_000_001, 0)) == identity.EXPIRED
    assert code_of(lambda: identity.check_validity(CREDENTIAL, 2_001_001, 1_000)) == identity.EXPIRED


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
@pytest.mark.parametrize(("element", "kind"), [(2, LinkPublicKey), (4, SealingPublicKey)])
def test_a_credential_with_a_key_of_low_order_is_none(
    element: int, kind: type[LinkPublicKey | SealingPublicKey], point: bytes
) -> None:
    """Nothing could be sealed for its facility, and every sender would find that out by itself."""
    field = Credential.__struct_fields__[element]
    assert code_of(lambda: msgspec.structs.replace(CREDENTIAL, **{field: kind(point)})) == "malformed"
    payload = msgspec.msgpack.decode(msgspec.msgpack.decode(identity.issue(AUTHORITY, CREDENTIAL))[1])
    payload[element] = point
    assert code_of_blob(sign_raw(1, msgspec.msgpack.encode(payload))) == "malformed"


def test_identifiers_follow_one_rule() -> None:
    for good in ("a", "0", "chu-mustapha", "a.b", "a" * 63):
        assert identity.is_id(good)
        assert identity.is_address(f"{good}@{good}")
    for bad in ("", ".", "-a", ".a", "A", "a_b", "a b", "a\n", "é", "٣", "a" * 64, "a/b", "a@b"):
        assert not identity.is_id(bad)
        assert not identity.is_address(f"a@{bad}")
        assert not identity.is_address(f"{bad}@a")
    assert not identity.is_address("a")
