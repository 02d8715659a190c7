"""The tables of patients. Ids are 16 raw bytes, times UTC milliseconds, birth dates ISO 8601 (or empty)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, String, Table

from nodes.link.tables import metadata

patients = Table(
    "patients",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("family", String, nullable=False),
    Column("given", String, nullable=False),
    Column("sex", String, nullable=False, comment="HL7 table 0001: F, M, O, U"),
    Column("born", String, nullable=False, comment="YYYY-MM-DD; empty: not known"),
    Column("nin", String, unique=True, comment="18 digits; none: not known"),
    Column("words", String, nullable=False, comment="names and numbers, folded, for search"),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
)
Index("patients_words", patients.c.words)

numbers = Table(
    "patient_numbers",
    metadata,
    Column(
        "authority", String, primary_key=True, comment="a facility's id, within which the value is unique"
    ),
    Column("value", String, primary_key=True),
    Column("patient", ForeignKey("patients.id", ondelete="CASCADE"), nullable=False, index=True),
)
