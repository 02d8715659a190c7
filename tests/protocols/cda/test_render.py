"""Narratives as HTML that can do nothing: real documents, one of everything, hostile ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree, html

from protocols.cda.document import read
from protocols.cda.render import Labels, narrative
from protocols.errors import RemoteProtocolError
from tests.protocols.cda.documents import EVERYTHING, document, text

CORPUS: Final = Path(__file__).parents[4] / "shared" / "corpus" / "cda" / "docs"
LABELS: Final = Labels("(vide)", "Notes", "Note", "Tableau", "Image", "image absente")
PNG: Final = "data:image/png;base64,iVBORw0KGgo="
ELEMENTS: Final = frozenset({
    "div", "section", "h2", "h3", "h4", "h5", "h6", "p", "span", "b", "bdi", "br", "sub", "sup", "ins", "del",
    "ol", "ul", "li", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "a", "img",
})  # fmt: skip
ATTRIBUTES: Final = frozenset({
    "id", "lang", "dir", "class", "colspan", "rowspan", "scope", "href", "aria-label", "src", "alt", "role",
    "tabindex",
})  # fmt: skip


def shown(data: bytes, pictures: dict[int, str] | None = None) -> Any:
    """Return the narrative as a browser's parser sees it, after looking for what must never be there."""
    found = narrative(read(data), LABELS, pictures or {})
    tree = html.fragment_fromstring(found)
    for node in tree.iter():
        assert node.tag in ELEMENTS, node.tag
        assert set(node.attrib) <= ATTRIBUTES, node.attrib
        assert node.get("href", "#").startswith("#")
        assert node.get("src", "data:image/").startswith("data:image/")
    identifiers = [node.get("id") for node in tree.iter() if node.get("id")]
    assert len(identifiers) == len(set(identifiers))
    return tree


def one(tree: Any, path: str) -> Any:
    found = tree.xpath(path)
    assert len(found) == 1, (path, etree.tostring(tree))
    return found[0]


def test_one_of_everything() -> None:
    tree = shown(EVERYTHING, {0: PNG})
    assert (tree.get("lang"), tree.get("dir")) == ("fr-DZ", "ltr")
    assert [node.text for node in tree.iter("h2")] == ["Antécédents", "Sans texte", "خلاصة"]
    assert one(tree, "//span[@class='bold italic']").text == "mot"
    assert (one(tree, "//del").text, one(tree, "//ins").text) == ("non", "oui")
    link = one(tree, "//a[text()='là']")
    assert one(tree, f"//*[@id='{link.get('href')[1:]}']").text_content() == "un"
    assert one(tree, "//ol[@class='little-roman']") is not None
    assert "Selon la famille" in one(tree, "//div[@id='note-1']").text_content()
    assert [node.get("href") for node in tree.xpath("//sup/a")] == ["#note-1", "#note-1"]
    table = one(tree, "//table")
    assert (one(table, "caption").text, table.getparent().get("aria-label")) == ("Mesures", "Mesures")
    assert one(table, ".//th").attrib == {"dir": "auto", "colspan": "2", "scope": "col"}
    assert one(table, ".//td[@rowspan='2']").get("class") == "end"
    assert one(tree, "//img").get("src") == PNG
    assert one(tree, "//p[@class='empty']").text == "(vide)"
    arabic = tree.xpath("section")[2]
    assert (arabic.get("lang"), arabic.get("dir")) == ("ar-DZ", "rtl")


def test_the_marks_of_a_list_stand_on_its_own_side_whichever_way_an_item_runs() -> None:
    items = "<item>scan.bin (3 MiB)</item><item>تقرير<br/>ECG</item><item>a<list><item>b</item></list></item>"
    tree = shown(document(f"<text><list>{items}</list></text>", language="ar-DZ"))
    names, lines, outer, inner = tree.xpath("//li")
    assert [one.get("dir") for one in (names, lines, outer, inner)] == [None, None, "auto", None]
    assert one(names, "bdi[not(@dir)]").text == "scan.bin (3 MiB)"
    assert one(lines, "bdi/br").tail == "ECG"
    assert one(inner, "bdi").text == "b"


def test_a_picture_that_nobody_drew_says_so() -> None:
    assert "[image absente]" in shown(EVERYTHING).text_content()


def test_a_picture_is_shown_once() -> None:
    media = "<entry><observationMedia ID='p'><value/></observationMedia></entry>"
    places = "<renderMultiMedia referencedObject='p p'/>" * 1_000
    assert len(shown(document(f"<text>{places}</text>{media}"), {0: PNG}).xpath("//img")) == 1


def test_only_our_kind_of_picture_gets_in() -> None:
    for address in ("http://127.0.0.1/x.png", "data:image/svg+xml;base64,PHN2Zz4=", "javascript:alert(1)"):
        assert one(shown(EVERYTHING, {0: address}), "//img").get("src") is None


@pytest.mark.parametrize(
    "code", ["x-klingon", "eng", "fr_FR", "ar", "", "en-X", "javascript:", 'fr"onload=', "a" * 500]
)
def test_a_language_is_one_that_html_knows_or_none(code: str) -> None:
    tree = shown(document("<text>a</text>", language=code.replace('"', "&quot;")))
    known = {"eng": "en", "fr_FR": "fr-FR", "ar": "ar", "en-X": "en"}
    assert tree.get("lang") == known.get(code)
    assert tree.get("dir") == {"ar": "rtl", **dict.fromkeys(("eng", "fr_FR", "en-X"), "ltr")}.get(code)


HOSTILE: Final = {
    "a script": "<script>alert(1)</script>",
    "a script of HTML": "<h:script xmlns:h='http://www.w3.org/1999/xhtml'>alert(1)</h:script>",
    "an escaped script": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "CDATA": "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "SVG": "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>",
    "an image": "<img src='http://127.0.0.1:9/x' onerror='alert(1)'/>",
    "a frame": "<iframe src='javascript:alert(1)'/>",
    "a style": "<style>@import 'http://127.0.0.1:9/x.css'</style><paragraph "
    "style='background:url(x)'>a</paragraph>",
    "a link that runs": "<linkHtml href='javascript:alert(1)'>a</linkHtml>",
    "a link that runs, in disguise": "<linkHtml href=' java&#10;script:alert(1)'>a</linkHtml>",
    "a link of data": "<linkHtml href='data:text/html,&lt;script>alert(1)&lt;/script>'>a</linkHtml>",
    "a link elsewhere": "<linkHtml href='https://127.0.0.1:9/' onclick='alert(1)'>a</linkHtml>",
    "a link to nowhere": "<linkHtml href='#nowhere'>a</linkHtml>",
    "handlers": "<paragraph onclick='alert(1)'>a<content onmouseover='alert(1)'>b</content></paragraph>",
    "markup as an identifier": "<content ID='&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;'>a</content>",
    "an identifier of the page": "<content ID='content'>a</content><content ID='content'>b</content>",
    "style codes": "<content styleCode='Bold&quot; onclick=&quot;alert(1)'>a</content>",
    "spans": "<table><tr><td colspan='99999999' rowspan='-1'>a</td><td colspan='x'>b</td></tr></table>",
    "a scope": "<table><tr><th scope='&quot;&gt;&lt;script&gt;'>a</th></tr></table>",
    "a caption": "<table><caption>&quot;&gt;&lt;script&gt;alert(1)</caption><tr><td>a</td></tr></table>",
    "XSL": "<xsl:value-of xmlns:xsl='http://www.w3.org/1999/XSL/Transform' "
    "select=\"document('file:///etc/passwd')\"/>",
    "XInclude": "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' "
    "href='file:///etc/passwd' parse='text'/>",
    "our own marks": "<paragraph xmlns:w='urn:wasl:narrative' w:id='&quot; onclick=&quot;' w:lang='x y'>a"
    "<w:picture n='0'/></paragraph>"
    "<linkHtml xmlns:w='urn:wasl:narrative' w:to='javascript:alert(1)'>b</linkHtml>",
    "a template": "<template><script>alert(1)</script></template><noscript>a</noscript>",
    "a form": "<form action='http://127.0.0.1:9/'><input name='a'/><button>b</button></form>",
    "a base": "<base href='http://127.0.0.1:9/'/><meta http-equiv='refresh' "
    "content='0;url=http://127.0.0.1:9/'/>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_narrative_becomes_text(name: str) -> None:
    tree = shown(text(HOSTILE[name]))
    assert "root:" not in tree.text_content()


def test_unknown_elements_become_their_text() -> None:
    assert "alert(1)" in shown(text("<script>alert(1)</script>")).text_content()
    assert "a b" in shown(text("<p>a <b>b</b></p>")).text_content()


def test_a_link_elsewhere_tells_where_and_leads_nowhere() -> None:
    tree = shown(text("<linkHtml href='https://example.org/x'>voir</linkHtml>"))
    assert "voir [https://example.org/x]" in tree.text_content()
    assert tree.xpath("//a") == []


def test_an_identifier_keeps_its_links_and_meets_none_of_the_page() -> None:
    tree = shown(text("<content ID='a b'>x</content><linkHtml href='#a b'>y</linkHtml>"))
    assert one(tree, "//a").get("href") == "#d-a_b"
    assert one(tree, "//*[@id='d-a_b']").text == "x"


def test_work_grows_with_the_document_and_not_faster() -> None:
    """Thousands of notes, links and pictures: seconds, where comparing each with each takes minutes."""
    notes = "".join(
        f"<footnote ID='n{n}'>a</footnote><footnoteRef IDREF='n{n}'/><linkHtml href='#n{n}'>b</linkHtml>"
        "<renderMultiMedia referencedObject='p'/>"
        for n in range(4_000)
    )
    started_s = time.process_time()
    tree = shown(text(notes))
    assert time.process_time() - started_s < 60
    assert len(tree.xpath("//div[@class='notes']/div")) == 4_000


def test_deep_nesting_is_shown_up_to_the_bound() -> None:
    deep = "<content>" * 80 + "a" + "</content>" * 80
    assert shown(text(deep)).text_content().strip().endswith("a")
    with pytest.raises(RemoteProtocolError, match="nested deeper"):
        read(text("<content>" * 120 + "a" + "</content>" * 120))


def test_sections_within_sections_have_headings_of_their_depth() -> None:
    inner = "<title>z</title><text>a</text>"
    for depth in range(8):
        inner = f"<title>{depth}</title><component><section>{inner}</section></component>"
    tree = shown(document(inner))
    assert [node.tag for node in tree.iter("h2", "h3", "h4", "h5", "h6")] == [
        "h2",
        "h3",
        "h4",
        "h5",
        *["h6"] * 5,
    ]


def _element(name: str, parts: list[str]) -> str:
    return f"<{name} ID='i'>{''.join(parts)}</{name}>"


NAMES: Final = st.sampled_from(
    [
        "paragraph",
        "content",
        "list",
        "item",
        "table",
        "tr",
        "td",
        "th",
        "caption",
        "footnote",
        "linkHtml",
        "x",
        "br",
    ]
)


@given(
    st.recursive(
        st.text(alphabet="ab<>&\"' ", max_size=8).map(
            lambda raw: raw.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        ),
        lambda inner: st.builds(
            lambda name, parts: f"<{name} ID='i'>{''.join(parts)}</{name}>",
            NAMES,
            st.lists(inner, max_size=4),
        ),
        max_leaves=12,
    )
)
def test_any_narrative_is_shown(content: str) -> None:
    """Every sign that stands in the narrative is on the page, whatever it stands in."""
    expected = "".join(map(str, etree.fromstring(f"<a>{content}</a>").itertext()))
    found = shown(text(content)).text_content()
    assert [sign for sign in "ab<>&" if found.count(sign) < expected.count(sign)] == [], content


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")
def test_real_documents_are_shown_or_refused_by_our_own_error() -> None:
    kept = {"shown": 0, "file": 0, "refused": 0}
    for path in sorted(CORPUS.rglob("*.xml")):
        try:
            found = read(path.read_bytes())
        except RemoteProtocolError:
            kept["refused"] += 1
            continue
        if found.attachment is None and shown(path.read_bytes()).xpath("//h2 | //p"):
            kept["shown"] += 1
        kept["file"] += found.attachment is not None
    assert kept["shown"] >= 60
    assert kept["refused"] <= 10
