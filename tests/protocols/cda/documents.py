"""CDA documents of our own to read: one of everything, and hostile ones."""

from __future__ import annotations

from typing import Final

HEAD: Final = (
    '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
    '<id root="2.25.1" extension="DOC-7"/><code code="34133-9" displayName="Summary of episode note"/>'
    '<title>Lettre de sortie</title><effectiveTime value="20260131101500+0100"/>'
    '<confidentialityCode code="R"/><languageCode code="{language}"/><versionNumber value="2"/>'
    '<recordTarget><patientRole><id root="2.25.2" extension="109876543210987654" '
    'assigningAuthorityName="DZA"/>'
    "<addr><streetAddressLine>12 rue Didouche</streetAddressLine><city>Alger</city></addr>"
    '<telecom value="tel:+213555010203"/><patient><name><given>Amine</given><family>Benali</family></name>'
    '<administrativeGenderCode code="M"/><birthTime value="19670412"/></patient></patientRole></recordTarget>'
    '<author><time value="20260131"/><assignedAuthor><id root="2.25.3"/><assignedPerson><name>'
    "<prefix>Dr</prefix><given>Nadia</given><family>Hakimi</family></name></assignedPerson>"
    "<representedOrganization><name>Cardiologie</name></representedOrganization></assignedAuthor></author>"
    "<custodian><assignedCustodian><representedCustodianOrganization><name>CHU Mustapha</name>"
    "</representedCustodianOrganization></assignedCustodian></custodian>"
    '<inFulfillmentOf><order><id root="2.25.9" extension="ORD-5"/></order></inFulfillmentOf>'
    '<relatedDocument typeCode="RPLC"><parentDocument><id root="2.25.1" extension="DOC-6"/></parentDocument>'
    '</relatedDocument><componentOf><encompassingEncounter><code displayName="Hospitalisation"/>'
    '<effectiveTime><low value="20260120"/><high value="20260131"/></effectiveTime><location>'
    "<healthCareFacility><location><name>Lit 12</name></location></healthCareFacility></location>"
    "</encompassingEncounter></componentOf>"
)
TAIL: Final = "</ClinicalDocument>"


def document(*sections: str, language: str = "fr-DZ") -> bytes:
    """Return a document with these sections' contents."""
    body = "".join(f"<component><section>{each}</section></component>" for each in sections)
    head = HEAD.replace("{language}", language)
    return f"{head}<component><structuredBody>{body}</structuredBody></component>{TAIL}".encode()


def text(narrative: str) -> bytes:
    """Return a document with one section of this narrative."""
    return document(f"<title>Texte</title><text>{narrative}</text>")


def file(media_type: str, base64: str, more: str = "") -> bytes:
    """Return a document that consists of a file."""
    held = f'<text mediaType="{media_type}" representation="B64" {more}>{base64}</text>'
    head = HEAD.replace("{language}", "fr")
    return f"{head}<component><nonXMLBody>{held}</nonXMLBody></component>{TAIL}".encode()


EVERYTHING: Final = document(
    "<title>Antécédents</title><text><paragraph>Un <content styleCode='Bold Italics'>mot</content>, "
    "H<sub>2</sub>O<br/>10<sup>9</sup> <content revised='delete'>non</content>"
    "<content revised='insert'>oui</content> <linkHtml href='#lit'>là</linkHtml>"
    "<footnote ID='n1'>Selon la famille</footnote>, encore<footnoteRef IDREF='n1'/></paragraph>"
    "<list listType='ordered' styleCode='LittleRoman'><caption>Liste</caption><item ID='lit'>un</item>"
    "<item><caption>deux</caption>trois</item></list>"
    "<table><caption>Mesures</caption><thead><tr><th scope='col' colspan='2'>TA</th></tr></thead>"
    "<tbody><tr><td rowspan='2' align='right'>12</td><td>8</td></tr><tr><td>7</td></tr></tbody></table>"
    "<renderMultiMedia referencedObject='pic'><caption>ECG</caption></renderMultiMedia></text>"
    "<entry><observationMedia ID='pic'><value mediaType='image/png' representation='B64'>iVBORw==</value>"
    "</observationMedia></entry>",
    "<code displayName='Sans texte'/>",
    "<title>خلاصة</title><languageCode code='ar-DZ'/><text><paragraph>المريض بخير</paragraph></text>",
)
