"""Every page of the console, and what it needs: the one table that the application is made from.

A test asks each of them as nobody and in each role, so what is missing here cannot be reached.
"""

from __future__ import annotations

from typing import Final

from hub.admin.console import (
    admission,
    discarding,
    journal,
    network_keys,
    people,
    policies,
    readmission,
    tokens,
    traffic,
    views,
)
from hub.admin.door import DOOR
from hub.admin.roles import Permission
from runtime.web.keys import KeyPages
from runtime.web.site import Page

_SEE, _SELF, _USERS = Permission.SEE, Permission.SELF, Permission.USERS
_TRAFFIC, _NETWORK, _AUDIT = Permission.TRAFFIC, Permission.NETWORK, Permission.AUDIT

PAGES: Final = (
    *DOOR.pages(_SELF),
    *KeyPages(DOOR, people.own, people.refused, people.require_password).pages(_SELF, _USERS),
    Page("GET", "/", "overview", views.overview, _SEE),
    Page("GET", "/network", "network", views.network_list, _SEE),
    Page("GET", "/network/<name>", "facility", views.one_facility, _SEE),
    Page("GET", "/network/<name>/suspend", "suspend", traffic.confirm_suspend, _NETWORK),
    Page("POST", "/network/<name>/suspend", "suspend_done", traffic.suspend, _NETWORK),
    Page("GET", "/network/<name>/describe", "describe", admission.describe, _NETWORK),
    Page("POST", "/network/<name>/describe", "describe_done", admission.described, _NETWORK),
    Page("GET", "/network/<name>/revoke", "revoke", admission.confirm_revoke, _NETWORK),
    Page("POST", "/network/<name>/revoke", "revoke_done", admission.revoke, _NETWORK),
    Page("GET", "/admission", "admission", admission.waiting, _NETWORK),
    Page("POST", "/admission/invite", "invite", admission.invite, _NETWORK),
    Page("GET", "/admission/<name>", "admission_decide", admission.decide, _NETWORK),
    Page("POST", "/admission/<name>/approve", "approve", admission.approve, _NETWORK),
    Page("POST", "/admission/<name>/reject", "reject", admission.reject, _NETWORK),
    Page("GET", "/admission/<name>/readmit", "readmit", readmission.decide, _NETWORK),
    Page("POST", "/admission/<name>/readmit", "readmit_done", readmission.approve, _NETWORK),
    Page("GET", "/keys", "keys", network_keys.show, _SEE),
    Page("POST", "/keys/link/announce", "link_announce", network_keys.announce, _NETWORK),
    Page("POST", "/keys/link/finish", "link_finish", network_keys.finish, _NETWORK),
    Page("GET", "/policy", "policy", policies.show, _SEE),
    Page("GET", "/policy/edit", "policy_edit", policies.edit, _NETWORK),
    Page("POST", "/policy/preview", "policy_preview", policies.preview, _NETWORK),
    Page("POST", "/policy/apply", "policy_apply", policies.apply, _NETWORK),
    Page("GET", "/policy/<number>", "policy_version", policies.one, _SEE),
    Page("GET", "/policy/<number>/again", "policy_again", policies.again, _NETWORK),
    Page("GET", "/queues", "queues", traffic.all_queues, _SEE),
    Page("GET", "/queues/<name>", "queue", traffic.one_queue, _SEE),
    Page("GET", "/queues/<name>/pause", "pause", traffic.confirm_pause, _TRAFFIC),
    Page("POST", "/queues/<name>/pause", "pause_done", traffic.pause, _TRAFFIC),
    Page("POST", "/queues/<name>/preview", "queue_preview", traffic.preview, _TRAFFIC),
    Page("POST", "/queues/<name>/return", "return_done", traffic.give_up, _TRAFFIC),
    Page("POST", "/queues/<name>/discard", "discard_asked", traffic.discard, _TRAFFIC),
    Page("POST", "/queues/<name>/stop", "stop_done", traffic.stop, _TRAFFIC),
    Page("POST", "/queues/<name>/release", "release_done", traffic.release, _TRAFFIC),
    Page("GET", "/discards", "discards", discarding.everything, _SEE),
    Page("GET", "/discards/<number>", "discard", discarding.one, _SEE),
    Page("POST", "/discards/<number>/confirm", "discard_confirm", discarding.confirm, _NETWORK),
    Page("POST", "/discards/<number>/refuse", "discard_refuse", discarding.refuse, _NETWORK),
    Page("POST", "/discards/<number>/withdraw", "discard_withdraw", discarding.withdraw, _TRAFFIC),
    Page("GET", "/returned", "returned", traffic.returned, _SEE),
    Page("GET", "/journal", "journal", journal.search, _AUDIT),
    Page("POST", "/journal/export", "journal_export", journal.export, _AUDIT),
    Page("GET", "/track", "track", views.track, _SEE),
    Page("GET", "/components", "components", views.components, _SEE),
    Page("GET", "/account", "account", people.account, _SELF),
    Page("POST", "/account/password", "own_password", people.own_password, _SELF),
    Page("POST", "/account/sessions/end", "own_session_end", people.end_own_session, _SELF),
    Page("GET", "/tokens", "tokens", tokens.everything, _USERS),
    Page("POST", "/tokens", "token_add", tokens.add, _USERS),
    Page("POST", "/tokens/<name>/revoke", "token_revoke", tokens.revoke, _USERS),
    Page("GET", "/users", "users", people.everybody, _USERS),
    Page("POST", "/users", "user_add", people.add, _USERS),
    Page("GET", "/users/<name>", "user", people.one, _USERS),
    Page("POST", "/users/<name>/role", "user_role", people.role, _USERS),
    Page("POST", "/users/<name>/switch", "user_switch", people.switch, _USERS),
    Page("POST", "/users/<name>/password", "user_password", people.password, _USERS),
    Page("POST", "/users/<name>/sessions/end", "session_end", people.end_session, _USERS),
)
