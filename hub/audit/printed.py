"""A receipt on paper: what it proves, in French and Arabic, with the receipt itself inside the PDF.

The printed page is for people and proves nothing by itself; the file attached to it (``receipt.json``) is
what ``wasl-hub audit check`` reads. Where there is no font for Arabic, the page is in French alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from protocols.audit.receipt import Checked
from runtime.printed import Sheet, moment

ATTACHMENT: Final = "receipt.json"
_FRENCH: Final = {
    "title": "Preuve du journal d'audit",
    "about": "Objet",
    "hub": "Concentrateur",
    "signed": "Point de contrôle signé le",
    "size": "Entrées couvertes",
    "root": "Racine",
    "key": "Clé d'audit",
    "witnesses": "Contresigné par",
    "nobody": "personne dont la signature ait été vérifiée ici",
    "history": "Ce qui est prouvé",
    "how": "Le fichier joint à ce document (receipt.json) porte la preuve. Pour la vérifier, hors ligne :",
}
_ARABIC: Final = {
    "title": "إثبات من سجل التدقيق",
    "about": "الموضوع",
    "hub": "المحور",
    "signed": "نقطة تحقق موقعة في",
    "size": "عدد القيود المشمولة",
    "root": "الجذر",
    "key": "مفتاح التدقيق",
    "witnesses": "صادق عليه",
    "nobody": "لم يتم التحقق هنا من أي توقيع",
    "history": "ما تم إثباته",
    "how": "الملف المرفق بهذه الوثيقة (receipt.json) يحمل الإثبات. للتحقق منه دون اتصال:",
}
_STATES: Final = {
    "accepted": ("accepté", "مقبول"),
    "delivered": ("remis", "مسلم"),
    "processed": ("traité", "معالج"),
    "refused": ("refusé", "مرفوض"),
    "returned": ("retourné", "معاد"),
    "delayed": ("retardé", "متأخر"),
}


def page(proved: Checked, receipt: bytes, font: Path | None = None) -> bytes:
    """Return a PDF about a receipt that was checked; ``receipt`` is the file, which is attached."""
    sheet = Sheet(f"{_FRENCH['title']}: {proved.about}", proved.signed.at_ms, font)
    sheet.write(_FRENCH["title"], _lines(proved, _FRENCH, 0))
    if sheet.arabic:
        sheet.write(_ARABIC["title"], _lines(proved, _ARABIC, 1), rtl=True)
    sheet.write("", [f"wasl-hub audit check {ATTACHMENT} --key {proved.signed.key.hex()}"])
    return sheet.finish(ATTACHMENT, receipt, "wasl-audit-receipt-1", "application/json")


def _lines(proved: Checked, words: dict[str, str], language: int) -> list[str]:
    """Return everything in one language: 0 French, 1 Arabic."""
    signed = proved.signed
    facts = (
        ("about", proved.about),
        ("hub", signed.origin),
        ("signed", moment(signed.at_ms)),
        ("size", str(signed.size)),
        ("root", signed.root.hex()),
        ("key", signed.key.hex()),
        ("witnesses", ", ".join(proved.witnesses) or words["nobody"]),
    )
    told = [_told(item, language) for item in proved.items]
    return [
        *(f"{words[name]}: {value}" for name, value in facts),
        "",
        words["history"],
        *told,
        "",
        words["how"],
    ]


def _told(item: dict[str, Any], language: int) -> str:
    row = item.get("message")
    if row is None:
        return f"{moment(item['at_ms'])}  {item['actor']}  {item['action']}  {item['subject']}"
    at_ms = row.get("at_ms", row.get("accepted_ms", 0))
    state = _STATES.get(row["state"], (row["state"], row["state"]))[language]
    return f"{moment(at_ms)}  {state}  {row.get('recipient', row.get('recipients', ''))}"
