"""The fingerprint of a node's keys, in words that two people can compare over the telephone.

It is the first 10 bytes (80 bits) of BLAKE2b over link key, signing key and sealing key, personalised with
``wasl words``, and each byte is one of 256 French words. Nobody can choose keys to meet a given fingerprint:
that takes 2**80 tries. Two people who read the same ten words have the same three keys before them.

The words are common nouns without accents, so that every terminal and keyboard has them; no two begin with
the same four letters, and words that sound alike were left out. Their order is part of the protocol.
"""

from typing import Final

from crypto.keys import LinkPublicKey, SealingPublicKey, SigningPublicKey
from crypto.primitives import blake2b

FINGERPRINT_BYTES: Final = 10
_PERSON: Final = b"wasl words"
_LIST: Final = """
agneau aigle algue amande ambre ananas angle arbre argile avion badge balai banane barque bassin bateau
berger beurre biche bijou billet bison blason bocal bonbon botte brebis brique brume buffet bureau cabane
cactus cadeau calcul camion canard cerise chaise cheval chien ciment cire citron cloche cobra coffre
comete corail coton crayon crocus cube cuivre dalle danse dessin digue dindon disque dorade dragon dune
ecole ecran enfant eponge equipe erable espace etage etoile faisan farine faucon ferme figue fleur flute
foret fourmi fraise galet gant garage genou girafe glace globe goutte graine grotte hamac hangar herbe
heron hibou hiver hotel huile ivoire jaguar jambe jardin jasmin jumeau jungle jupe kayak koala laine lampe
lapin legume lettre lezard lievre ligne lilas limace lion livre louve lune maison marbre masque matin
melon menthe metal miel minute miroir mouche mouton nappe navire neige nid nombre nuage oasis ocean oiseau
olive ombre orage orange orgue ortie ourson outil panier papier parc pastel patin pavot peigne perle
persil phare photo piano pierre pigeon plage pluie poche poire poisson pomme pont porte potager poule
prairie prune puzzle racine radis raisin rameau renard requin rideau riviere robe rocher roseau roue ruban
ruche sable sabot safran salade sapin sardine savon semelle serpent sifflet silex singe sirop soleil
sommet sorbet soupe source statue stylo sucre table talon tambour tapis tasse taureau temple tente terre
theatre thym tigre timbre tiroir toile tomate tonneau torrent toucan train tresor truite tulipe tunnel
turban vache vague valise vanille vase velours verger veste viande village violon visage voile yaourt
zebre zinc
"""
WORDS: Final = tuple(_LIST.split())
"""256 words, in order of the byte that each stands for."""


def node_fingerprint(link: LinkPublicKey, signing: SigningPublicKey, sealing: SealingPublicKey) -> bytes:
    """Return the 10 bytes that name these three keys."""
    return blake2b(link.raw + signing.raw + sealing.raw, size=FINGERPRINT_BYTES, person=_PERSON)


def in_words(fingerprint: bytes) -> str:
    """Return the fingerprint as words with a space between them."""
    return " ".join(WORDS[byte] for byte in fingerprint)


def in_hex(fingerprint: bytes) -> str:
    """Return the fingerprint as groups of four hexadecimal digits."""
    return fingerprint.hex(" ", 2)


def is_written(fingerprint: bytes, text: str) -> bool:
    """Say whether ``text`` is this fingerprint, as words or as hexadecimal digits, however it is spaced."""
    said = text.lower().replace("-", " ").split()
    return said == in_words(fingerprint).split() or "".join(said) == fingerprint.hex()
