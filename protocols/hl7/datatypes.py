"""Data types of the fields of common segments: what v2.xml needs to name its elements.

After HL7 v2.5.1 (chapters 2A, 3, 4, 7, 9 and 10), for the segments that Wasl's messages consist of.
A field that is not listed here is written with names of its own (``ZPD.3.1``), which reading takes
just as well. ``*`` stands for a type that another field names (OBX-5 has that of OBX-2).
"""

# ruff: noqa: E501 - a table, one line a segment

from typing import Final

#: Fields of a segment, from field 1 on.
SEGMENTS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(types.split())
    for name, types in {
        "MSH": "ST ST HD HD HD HD TS ST MSG ST PT VID NM ST ID ID ID ID CE ID EI",
        "MSA": "ID ST ST NM ID CE",
        "ERR": "ELD ERL CWE ID CWE ST TX TX IS CWE CWE XTN",
        "EVN": "ID TS TS IS XCN TS HD",
        "PID": "SI CX CX CX XPN XPN TS IS XPN CE XAD IS XTN XTN CE CE CE CX ST DLN CX CE ST ID NM CE CE CE TS ID"
        " ID IS TS HD CE CE ST CE CWE",
        "PD1": "IS IS XON XCN IS IS IS ID CX CE ID ID XON CE ID DT IS DT IS IS IS",
        "NK1": "SI XPN CE XAD XTN XTN CE DT DT ST JCC CX XON CE IS TS IS IS CE IS CE ID IS CE ID XPN CE CE CE XPN"
        " XTN XAD CX IS CE ST CE IS",
        "PV1": "SI IS PL IS CX PL XCN XCN XCN IS PL IS IS IS IS IS XCN IS CX FC IS IS IS IS DT NM NM IS IS DT IS NM"
        " NM IS DT IS DLD CE IS IS IS PL PL TS TS NM NM NM NM CX IS XCN",
        "MRG": "CX CX CX CX CX CX XPN",
        "AL1": "SI CE CE CE ST DT",
        "DG1": "SI ID CE ST TS IS CE CE ID IS CE NM CP TS IS XCN IS ID TS EI",
        "NTE": "SI ID FT CE",
        "ORC": "ID EI EI EI ID ID TQ EIP TS XCN XCN XCN PL XTN TS CE CE CE XCN CE XON XAD XTN XAD CWE CWE TS CWE CWE CNE",
        "OBR": "SI EI EI CE ID TS TS TS CQ XCN ID CE ST TS SPS XCN XTN ST ST ST ST TS MOC ID ID PRL TQ XCN EIP ID CE"
        " NDL NDL NDL NDL TS NM CE CE CE ID ID CE CE CE CE CE CE CWE",
        "OBX": "SI ID CE ST * CE ST IS NM ID ID TS ST TS CE XCN CE EI TS",
        "SPM": "SI EIP CWE CWE CWE CWE CWE CWE CWE CWE CWE CQ NM ST CWE CWE DR TS TS ID CWE CWE CWE CWE CQ NM CWE CWE CWE",
        "TXA": "SI IS ID TS XCN TS TS TS XCN XCN XCN EI EI EI ST ST ID ID ID ID ST PPN XCN",
        "SCH": "EI EI NM EI CE CE CE CE NM CE TQ XCN XTN XAD PL XCN XTN XAD PL XCN XTN PL EI EI CE EI EI",
        "AIS": "SI ID CE TS NM CE NM CE ID CE CE CE",
        "AIP": "SI ID XCN CE CE TS NM CE NM CE ID CE",
        "AIL": "SI ID PL CE CE TS NM CE NM CE ID CE",
        "RGS": "SI ID CE",
        "RF1": "CE CE CE CE CE EI TS TS TS CE EI",
        "PRD": "CE XPN XAD PL XTN CE PLN TS TS",
        "RQD": "SI CE CE CE NM CE IS IS CE DT",
        "QAK": "ST ID CE NM NM NM",
    }.items()
}

#: Components of a composite type, from component 1 on; a type that is not here counts as primitive.
COMPOSITES: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(types.split())
    for name, types in {
        "CE": "ST ST ID ST ST ID",
        "CNE": "ST ST ID ST ST ID ST ST ST",
        "CP": "MO ID NM NM CE ID",
        "CQ": "NM CE",
        "CWE": "ST ST ID ST ST ID ST ST ST",
        "CX": "ST ST ID HD ID HD DT DT CWE CWE",
        "DLD": "IS TS",
        "DLN": "ST IS DT",
        "DR": "TS TS",
        "ED": "HD ID ID ID TX",
        "EI": "ST IS ST ID",
        "EIP": "EI EI",
        "ELD": "ST NM NM CE",
        "ERL": "ST NM NM NM NM NM",
        "FC": "IS TS",
        "FN": "ST ST ST ST ST",
        "HD": "IS ST ID",
        "JCC": "IS IS TX",
        "MO": "NM ID",
        "MOC": "MO CE",
        "MSG": "ID ID ID",
        "PL": "IS IS IS HD IS IS IS IS ST EI HD",
        "PLN": "ST IS ST DT",
        "PRL": "CE ST TX",
        "PT": "ID ID",
        "RP": "ST HD ID ID",
        "SAD": "ST ST ST",
        "SN": "ST NM ST NM",
        "TS": "DTM ID",
        "VID": "ID CE CE",
        "XAD": "SAD ST ST ST ID ID ID ST IS IS ID DR TS TS",
        "XCN": "ST FN ST ST ST ST IS IS HD ID ST ID ID HD ID CE DR ID TS TS ST CWE CWE",
        "XON": "ST IS NM NM ID HD ID HD ID ST",
        "XPN": "FN ST ST ST ST IS ID ID CE DR ID TS TS ST",
        "XTN": "ST ID ID ST NM NM NM NM ST ST ST ST",
    }.items()
}
