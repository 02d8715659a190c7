"""One end of a handshake by dissononce; imported only by tests that have found it installed."""

from dissononce.cipher.chachapoly import ChaChaPolyCipher
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.hash.blake2b import Blake2bHash
from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState
from dissononce.processing.modifiers.psk import PSKPatternModifier

from crypto.keys import LinkPrivateKey, LinkPublicKey


def make_end(
    *, static: LinkPrivateKey, remote_static: LinkPublicKey | None, prologue: bytes, psk: bytes | None
) -> HandshakeState:
    """Return an initiator if ``remote_static`` is given, a responder otherwise; IKpsk2 if ``psk`` is."""
    dh = X25519DH()
    state = HandshakeState(SymmetricState(CipherState(ChaChaPolyCipher()), Blake2bHash()), dh)
    pattern = IKHandshakePattern()
    state.initialize(
        PSKPatternModifier(2).modify(pattern) if psk else pattern,
        remote_static is not None,
        prologue,
        s=dh.generate_keypair(PrivateKey(static.raw)),
        rs=dh.create_public(remote_static.raw) if remote_static else None,
        psks=[psk] if psk else None,
    )
    return state
