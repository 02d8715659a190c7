"""What is installed on servers is what was tested, file by file; and what is known of it is told."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from release import audit

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pins(name: str) -> dict[str, tuple[str, str]]:
    """Return version and marker by normalised name (PEP 503)."""
    found = PIN.findall((ROOT / name).read_text(encoding="utf-8"))
    return {re.sub(r"[-_.]+", "-", package).lower(): (version, mark) for package, version, mark in found}


def test_the_lock_holds_the_versions_that_are_tested() -> None:
    locked, tested = pins("requirements.lock"), pins("requirements.txt")
    wrong = {
        name: (version, locked.get(name, ("missing", ""))[0])
        for name, (version, _) in tested.items()
        if locked.get(name, ("", ""))[0] != version
    }
    assert not wrong, f"run `make lock` (name: tested, locked): {wrong}"
    more = {name: mark for name, (_, mark) in locked.items() if name not in tested}
    assert all("win32" in mark for mark in more.values()), f"locked and not tested: {more}"


def test_every_locked_package_has_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins("requirements.lock"))
    assert [entry.split()[0] for entry in entries if not HASH.search(entry)] == []


@pytest.mark.parametrize(
    ("dependencies", "code"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0),
        ([{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}], 1),
        ([{"name": "a", "skip_reason": "not found"}], 3),
        ([{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}], 3),
    ],
)
def test_an_audit_that_could_not_look_is_no_clean_bill(
    dependencies: list[object], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audit.judge(json.loads(json.dumps({"dependencies": dependencies})))
    monkeypatch.setattr(audit, "ask", lambda _service: found)
    assert audit.main() == code


def test_an_advisory_service_out_of_reach_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "ask", lambda _service: "Connection refused")
    assert audit.main() == audit.EXIT_UNKNOWN
    assert "skipped: no advisory service" in capsys.readouterr().err


def test_the_bill_of_materials_names_every_locked_package(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("cyclonedx-py")
    if not program.exists():
        pytest.skip("cyclonedx-py is not installed: `make sbom` installs it")
    bill = tmp_path / "wasl.cdx.json"
    subprocess.run(
        [program, "requirements", "--of", "JSON", "-o", bill, ROOT / "requirements.lock"],
        check=True,
        timeout=60,
    )
    written = json.loads(bill.read_text(encoding="utf-8"))
    named = {re.sub(r"[-_.]+", "-", part["name"]).lower(): part["version"] for part in written["components"]}
    assert named == {name: version for name, (version, _) in pins("requirements.lock").items()}
