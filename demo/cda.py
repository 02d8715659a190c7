"""A radiology report in Arabic as a CDA R2 document (HL7 CDA Release 2, 2005): header and one text section.

Identifiers stand below 2.999 (the example arc), so none can be taken for a real one; the patient's name
and the report are made up. The document is UTF-8 with an XML declaration; it fits the CDA schema.
"""

from typing import Final
from uuid import uuid4
from xml.sax.saxutils import escape, quoteattr

from demo.people import OID_ROOT, Patient

TITLE: Final = "تقرير تصوير الصدر بالأشعة"
_FINDINGS: Final = (
    "لا يوجد ارتشاح ولا انصباب جنبي.",
    "حجم القلب ضمن الحدود الطبيعية.",
    "الخلاصة: صورة صدر طبيعية. يُنصح بالمتابعة بعد ستة أشهر.",
)


def radiology_report(patient: Patient, facility: str, moment: str) -> tuple[str, bytes]:
    """Return (document id, document); ``moment`` is a time as HL7 writes it."""
    document_id = str(uuid4())
    items = "".join(f"<item>{escape(finding)}</item>" for finding in _FINDINGS)
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" classCode="DOCCLIN" moodCode="EVN">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="{OID_ROOT}.1" extension="{document_id}"/>
  <code code="18748-4" codeSystem="2.16.840.1.113883.6.1" displayName="Diagnostic imaging study"/>
  <title>{TITLE}</title>
  <effectiveTime value="{moment}"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="ar-DZ"/>
  <recordTarget><patientRole>
    <id root="{OID_ROOT}.2" extension={quoteattr(patient.nin)}/>
    <patient>
      <name><given>{escape(patient.given_ar)}</given><family>{escape(patient.family_ar)}</family></name>
      <administrativeGenderCode code="{patient.sex}" codeSystem="2.16.840.1.113883.5.1"/>
      <birthTime value="{patient.birth}"/>
    </patient>
  </patientRole></recordTarget>
  <author>
    <time value="{moment}"/>
    <assignedAuthor><id root="{OID_ROOT}.3" extension="D-204"/>
      <assignedPerson><name><prefix>د.</prefix><given>نادية</given><family>حكيمي</family></name></assignedPerson>
    </assignedAuthor>
  </author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="{OID_ROOT}.4" extension={quoteattr(facility)}/><name>{escape(facility)}</name>
  </representedCustodianOrganization></assignedCustodian></custodian>
  <component><structuredBody><component><section>
    <code code="18782-3" codeSystem="2.16.840.1.113883.6.1" displayName="Study observation"/>
    <title>النتائج</title>
    <text><list>{items}</list></text>
  </section></component></structuredBody></component>
</ClinicalDocument>
"""
    return document_id, text.encode("utf-8")
