"""Keys of the network: which hold, what is under way, and the next step, here or as a command.

What the console may do of it, and why no more, is told in :mod:`hub.admin.network_keys`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import redirect, render_template, request
from flask_babel import lazy_gettext as _

from hub.admin import network_keys
from hub.admin.console.context import Console, visitor
from hub.admin.console.refusals import REFUSED, Errors, errors
from hub.admin.errors import AdminRefused
from hub.admin.network_keys import Key, KeyState, Step, Where
from hub.directory.service import DirectoryError
from hub.home import HubHomeError

FINGERPRINT_CHARS: Final = 64
NAMES: Final = {
    Key.LINK: _("Link key of the hub"),
    Key.AUTHORITY: _("Key of the authority"),
    Key.AUDIT: _("Key of the journal"),
}
USES: Final = {
    Key.LINK: _("By it nodes know the hub when they call."),
    Key.AUTHORITY: _(
        "It certifies the keys of every facility. Nodes trust what it has signed, and nothing else."
    ),
    Key.AUDIT: _("It signs the checkpoints of the journal, by which auditors check receipts."),
}
STATES: Final = {
    Step.BEGIN: ("ok", _("in use")),
    Step.SIGN: ("warn", _("waits for a signature")),
    Step.LACKING: ("bad", _("not at this hub")),
    Step.ANNOUNCE: ("info", _("drawn, nobody is told")),
    Step.WAIT: ("info", _("nodes are moving")),
    Step.FINISH: ("warn", _("all nodes have moved")),
    Step.TIDY: ("warn", _("to be tidied")),
    Step.FIRST: ("bad", _("missing")),
}
NEXT: Final = {
    Step.BEGIN: _(
        "Nothing is under way. Replace it about every two years, or when somebody leaves who could read it: "
        "the new key is drawn at the hub, never here."
    ),
    Step.SIGN: _(
        "The authority’s key is on another machine: carry the requests there, have them signed, and bring "
        "the signatures back. Nothing in either file is secret."
    ),
    Step.LACKING: _(
        "The hub’s daemon has not the key that was drawn. Several hubs: copy the key file from the one that "
        "drew it. Sealed keys: seal them anew. Then restart the daemon."
    ),
    Step.ANNOUNCE: _(
        "Make a backup first: a hub that is restored without the new key would be known to no node that has "
        "moved. Then tell the nodes."
    ),
    Step.WAIT: _(
        "Nodes follow by themselves within seconds of connecting. One that was away until the end needs the "
        "file of changes; a facility that is gone for good is suspended or revoked."
    ),
    Step.FINISH: _("All active facilities have followed: the key before is to count no more."),
    Step.TIDY: _("The key before counts no more, but lies in the hub’s key file still: take it out."),
    Step.FIRST: _("This hub was made before there was such a key: draw it."),
}
PLACES: Final = {
    Where.HUB: _("At the hub, as its user:"),
    Where.AUTHORITY: _("On the machine that has the authority’s key:"),
    Where.NODE: _("At the node, as its user:"),
}
_UNCONFIRMED: Final = {Step.ANNOUNCE: "no-backup", Step.FINISH: "not-sure"}
_FIELDS: Final = {Step.ANNOUNCE: "backup", Step.FINISH: "sure"}


def show(console: Console) -> str:
    """Show the three keys."""
    return _page(console, ())


def _page(console: Console, wrong: Errors) -> str:
    found: tuple[KeyState, ...] = ()
    try:
        public = console.public()
        found = console.read(lambda c: network_keys.look(c, public, console.home))
    except HubHomeError:
        wrong = (*wrong, *errors("no-public-keys"))
    return render_template(
        "keys.html", keys=found, errors=wrong, names=NAMES, uses=USES, states=STATES, next=NEXT,
        places=PLACES, done=request.args.get("done", ""),
    )  # fmt: skip


def announce(console: Console) -> Any:
    """Tell nodes of the hub's next link key."""
    return _change(console, Step.ANNOUNCE, network_keys.announce)


def finish(console: Console) -> Any:
    """Let the link key before count no more."""
    return _change(console, Step.FINISH, network_keys.finish)


def _change(console: Console, step: Step, act: Callable[..., object]) -> Any:
    wanted, who, now_ms = request.form.get("key", "")[:FINGERPRINT_CHARS], visitor(), console.clock.now_ms()
    if request.form.get(_FIELDS[step]) != "1":
        return _page(console, errors(_UNCONFIRMED[step])), REFUSED
    try:
        issuer, public = console.issuer(), console.public()
        console.change(lambda c: act(c, issuer, public, wanted, actor=who.actor, now_ms=now_ms))
    except HubHomeError:
        return _page(console, ()), REFUSED  # which says so
    except AdminRefused as error:
        return _page(console, errors(error.code)), REFUSED
    except DirectoryError:
        return _page(console, errors("other-key")), REFUSED
    return redirect(f"/keys?done={step}", 303)
