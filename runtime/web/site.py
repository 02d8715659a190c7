"""What every web process of Wasl is made from: a Flask application that is safe before it has a page.

It sends the headers that forbid what no page needs (scripts and styles in the page, frames, foreign origins,
caches), keeps cookies to this host, wants a token of each form (Flask-WTF), refuses other names for itself
(a page elsewhere that makes a name resolve to this address gets nothing), and says errors in the reader's
language without telling what is inside.

Behind a proxy that speaks TLS the site knows its ``origin``, as in ``https://console.example``: cookies are
then ``__Host-`` ones, and the proxy, which must be on this machine, is believed about the caller's address
(the last entry of X-Forwarded-For). Without an origin the site is for this machine only.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from flask import Flask, Request, Response, abort, redirect, render_template, request
from flask_babel import lazy_gettext as _
from flask_wtf.csrf import CSRFError, CSRFProtect
from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from runtime.home import read_bounded, write_private
from runtime.logs import event
from runtime.web import languages

HERE: Final = Path(__file__).parent
FORM_BYTES: Final = 64 * 1_024
TARGET_CHARS: Final = 2_000
"""Of the page to go to after signing in."""
ASSET_AGE_S: Final = 3_600
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SECRET_BYTES: Final = 32
_SECRET_FILE_BYTES: Final = 256
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What a site is called, where it is reached, and where its pages and texts are.

    ``rooms`` are further directories that may have ``templates``, ``translations``, ``static`` of their own.
    ``mark`` tells the site's cookies from those of others on this host: browsers tell no ports apart.
    ``form_bytes`` is the most that a form may have. ``port`` is where it listens on
    this machine, 0 if that is not known before.
    """

    name: str
    secret: bytes
    zone: str
    templates: Path
    translations: Path
    origin: str | None = None
    hosts: frozenset[str] = LOOPBACK
    rooms: tuple[Path, ...] = ()
    mark: str = ""
    form_bytes: int = FORM_BYTES
    port: int = 0

    @property
    def secure(self) -> bool:
        """Whether browsers reach the site by TLS."""
        return self.origin is not None and self.origin.startswith("https://")

    def cookie(self, name: str) -> str:
        """Return the full name of a cookie of this site."""
        whole = f"{name}-{self.mark}" if self.mark else name
        return f"__Host-{whole}" if self.secure else whole


def load_secret(path: Path) -> bytes:
    """Return what signs forms, made when it is not there; mode 0600. Raises HomeError and OSError."""
    if not path.exists():
        write_private(path, secrets.token_bytes(SECRET_BYTES))
    return read_bounded(path, _SECRET_FILE_BYTES)


def make_site(plan: SitePlan) -> Flask:
    """Return an application with no page yet but ``/static/…``."""
    app = Flask(plan.name, static_folder=None, template_folder=None)
    app.config.update(
        SECRET_KEY=plan.secret,
        MAX_CONTENT_LENGTH=plan.form_bytes,
        SESSION_COOKIE_NAME=plan.cookie("wasl-form"),
        SESSION_COOKIE_SECURE=plan.secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=plan.secure,
        WTF_CSRF_CHECK_DEFAULT=False,
    )
    templates = [plan.templates, *(room / "templates" for room in plan.rooms), HERE / "templates"]
    app.jinja_loader = ChoiceLoader([FileSystemLoader(path) for path in templates])
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.url_map.merge_slashes = False
    translations = (languages.SHARED, plan.translations, *(room / "translations" for room in plan.rooms))
    languages.set_up(app, translations, plan.zone, plan.cookie(languages.COOKIE))
    protection = CSRFProtect(app)
    app.before_request(lambda: _admit(plan, protection))
    app.after_request(lambda response: _finish(plan, response))
    app.register_error_handler(Exception, _say_error)
    _serve_assets(app, (HERE, *plan.rooms))
    return app


def caller_address(plan: SitePlan) -> str:
    """Return the address that a request came from."""
    direct = request.remote_addr or ""
    if plan.origin is not None and direct in LOOPBACK:
        return request.headers.get("X-Forwarded-For", direct).rpartition(",")[2].strip()[:64] or direct
    return direct


def _admit(plan: SitePlan, protection: CSRFProtect) -> BaseResponse | None:
    """Judge a request by its head, before any page has seen it."""
    if not is_ours(plan, request):
        abort(421)
    if "\0" in request.path or any("\0" in text for text in _texts(request.args)):
        abort(400)
    if request.method not in {"GET", "HEAD"}:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            abort(403)
        protection.protect()
        if any("\0" in text for text in _texts(request.form)):
            abort(400)
    elif request.args.get(languages.PARAMETER) in languages.LANGUAGES:
        return _switch_language(plan)
    return None


def is_ours(plan: SitePlan, asked: Request) -> bool:
    """Return whether the ``Host`` of a request is one of the site's names."""
    name = _host_name(asked.headers.get("Host", ""))
    return name in plan.hosts | {urlsplit(plan.origin or "").hostname}


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _switch_language(plan: SitePlan) -> BaseResponse:
    """Keep the language and go to the same page without asking for it."""
    rest = [(key, value) for key, value in request.args.items(multi=True) if key != languages.PARAMETER]
    answer = redirect(languages.own_path() + (f"?{urlencode(rest)}" if rest else ""), 303)
    answer.set_cookie(
        plan.cookie(languages.COOKIE), languages.language(), max_age=languages.COOKIE_S, path="/",
        secure=plan.secure, httponly=True, samesite="Lax",
    )  # fmt: skip
    return answer


def _texts(given: MultiDict[str, str]) -> Iterator[str]:
    for key, value in given.items(multi=True):
        yield key
        yield value


def own_page(asked: str) -> str:
    """Return the page to go to: one of this site, whatever was asked."""
    own = (
        asked.startswith("/")
        and not asked.startswith("//")
        and asked.isprintable()
        and "\\" not in asked
        and len(asked) <= TARGET_CHARS
    )
    return asked if own else "/"


def _finish(plan: SitePlan, response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if plan.secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def _say_error(error: Exception) -> tuple[str, int] | HTTPException:
    status = 500
    if isinstance(error, CSRFError):
        status = 400
    elif isinstance(error, HTTPException):
        if error.code is None or error.code < 400:  # noqa: PLR2004 - a redirection is no error
            return error
        status = error.code
    else:
        event(_LOG, logging.ERROR, "page-failed", cause=error, path=request.path)
    return say(status, form=isinstance(error, CSRFError))


def say(status: int, *, form: bool = False) -> tuple[str, int]:
    """Return the page for an error; ``form``: it was a form whose token is no good."""
    title, text = _WORDS[_FORM] if form else _WORDS.get(status, _WORDS[400])
    return render_template("error.html", title=title, text=text, status=status), status


_FORM: Final = 0
_WORDS: Final = {
    _FORM: (
        _("This form is no longer valid"),
        _(
            "You signed out or waited too long since the page was opened. Nothing was changed. "
            "Go back, reload the page, and try again."
        ),
    ),
    400: (_("This was not understood"), _("The request is not one that this page knows.")),
    403: (_("You may not do this"), _("Your role does not include it. Nothing was changed.")),
    404: (_("Page not found"), _("There is nothing under this address.")),
    413: (_("Too much was sent"), _("The form is larger than this page takes.")),
    421: (_("Wrong address"), _("This service is not known under the name in the address.")),
    500: (_("This page failed"), _("The fault is ours. The log of the service says why.")),
    503: (_("Not available now"), _("The database cannot be reached. Try again in a minute.")),
}


def _serve_assets(app: Flask, rooms: Sequence[Path]) -> None:
    """Serve what lies in ``static`` from memory, packed; a query in the address changes with the content."""
    found = {path.name: path.read_bytes() for room in rooms for path in sorted((room / "static").glob("*.*"))}
    packed = {name: gzip.compress(content, 9, mtime=0) for name, content in found.items()}
    versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in found.items()}

    def asset(name: str) -> Response:
        kind = _TYPES.get(Path(name).suffix)
        if name not in found or kind is None:
            abort(404)
        zipped = request.accept_encodings.quality("gzip") > 0
        answer = Response(packed[name] if zipped else found[name], content_type=kind)
        answer.headers["Vary"] = "Accept-Encoding"
        if zipped:
            answer.headers["Content-Encoding"] = "gzip"
        fresh = request.args.get("v") == versions[name]
        age = 365 * 86_400 if fresh else ASSET_AGE_S
        answer.headers["Cache-Control"] = f"public, max-age={age}" + (", immutable" if fresh else "")
        return answer

    app.add_url_rule("/static/<name>", "asset", asset, methods=["GET"], provide_automatic_options=False)
    app.jinja_env.globals["asset"] = lambda name: f"/static/{name}?v={versions[name]}"


Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One thing that a browser can ask: ``needs`` is the permission, empty for everybody (also strangers)."""

    method: str
    path: str
    name: str
    handler: Handler
    needs: str


def permissions_of(pages: Sequence[Page]) -> dict[str, str]:
    """Return what each page needs, by its name; raises ValueError if two have one name."""
    found = {page.name: page.needs for page in pages}
    if len(found) != len(pages):
        raise ValueError("two pages have the same name")
    return found
