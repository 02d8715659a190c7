"""What the services refuse, in the reader's language, and which field of a form it is about."""

from __future__ import annotations

from typing import Final

from flask_babel import lazy_gettext as _

REFUSED: Final = 422
Errors = tuple[tuple[str, str], ...]
_SAID: Final = {
    "no-reason": ("reason", _("Say why: it is written to the journal.")),
    "long-reason": ("reason", _("The reason is too long.")),
    "connected": (
        "reason",
        _(
            "The facility is connected, or was a moment ago, and may be taking them: pause its queue first. "
            "What may have been sent has to wait, or to be discarded by two people."
        ),
    ),
    "too-many": ("reason", _("Choose fewer messages.")),
    "nothing": ("reason", _("None of these messages waits any more.")),
    "paused": ("reason", _("This queue has been paused meanwhile.")),
    "not-paused": ("reason", _("This queue has been resumed meanwhile.")),
    "suspended": ("act", _("This facility is suspended already: nothing was changed.")),
    "not-suspended": ("act", _("This facility is not suspended: nothing was changed.")),
    "stopped": ("act", _("These messages are stopped already: nothing was changed.")),
    "not-stopped": ("act", _("None of these messages is stopped: nothing was changed.")),
    "same-person": (
        "decision",
        _(
            "Two people are needed: another administrator has to decide. Who asked does not count, nor, for "
            "7 days, an account that was in one hand with that of who asked: made, or given its password, by "
            "the same person."
        ),
    ),
    "not-yours": ("decision", _("Only who asked takes it back.")),
    "settled": ("decision", _("Somebody has decided this meanwhile.")),
    "nothing-waits": ("decision", _("Nothing of this facility waits for an approval any more.")),
    "other-fingerprint": ("decision", _("Other keys wait for an approval now: compare them anew.")),
    "not-compared": (
        "compared",
        _("Call the facility first, and confirm that it read out these ten words."),
    ),
    "no-public-keys": (
        "facility",
        _("The hub's daemon has not left its public keys here yet: start it once, then try again."),
    ),
    "changed-meanwhile": (
        "text",
        _("Somebody applied another policy meanwhile: look at it, then try again."),
    ),
    "join-anew": (
        "decision",
        _("These keys count no more, whoever has them: the facility has to be invited anew."),
    ),
    "bad-mailbox": ("mailboxes", _("A mailbox has small letters, digits, dot and hyphen.")),
    "too-many-mailboxes": ("mailboxes", _("These are too many mailboxes.")),
    "no-backup": ("backup", _("Make a backup first, and confirm it.")),
    "not-sure": ("sure", _("Confirm that you know what this does.")),
    "other-key": ("link", _("The change has gone on meanwhile: look at what is next.")),
    "key-lacking": ("link", _("The hub’s daemon has not the new key: nodes could not call by it.")),
    "not-all-moved": ("link", _("Some nodes have not followed: they would be locked out.")),
    "other-name": ("name", _("This is not the name of the facility.")),
}


def errors(code: str) -> Errors:
    """Return the field and the text of a refusal; KeyError for a code that no page can meet."""
    field, text = _SAID[code]
    return ((field, str(text)),)
