"""Keys, the handshake, statements and sealing: bytes and values in, bytes and values out.

Nothing here reads a clock, a file or a socket, and nothing here invents a construction. ``primitives`` is
the one door to PyNaCl and ``cryptography``; ``keys`` gives raw keys their types; ``noise`` is the handshake
and the cipher of the link; ``identity`` holds what the authority signs; ``sealing`` closes a message for its
recipient; ``filestream`` does the same for an attachment, chunk by chunk; ``keystore`` is the text form of
private keys. Every fault raises a subclass of ``errors.CryptoError``.
"""
