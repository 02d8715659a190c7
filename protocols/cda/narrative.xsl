<?xml version="1.0" encoding="UTF-8"?>
<!-- The narrative of a CDA R2 document as HTML. render.py prepares the tree: attributes of urn:wasl:narrative
     number what is referred to. Only what is written out here gets into the result; of any other element its
     text does. render.py checks the result once more. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:c="urn:hl7-org:v3"
    xmlns:w="urn:wasl:narrative" exclude-result-prefixes="c w">
  <xsl:output method="html" encoding="UTF-8" indent="no"/>
  <xsl:param name="empty"/>
  <xsl:param name="notes"/>
  <xsl:param name="table"/>
  <xsl:param name="note"/>
  <xsl:variable name="upper" select="'ABCDEFGHIJKLMNOPQRSTUVWXYZ'"/>
  <xsl:variable name="lower" select="'abcdefghijklmnopqrstuvwxyz'"/>

  <xsl:template match="/">
    <div>
      <xsl:call-template name="language"><xsl:with-param name="of" select="c:ClinicalDocument"/></xsl:call-template>
      <xsl:apply-templates select="c:ClinicalDocument/c:component/c:structuredBody/c:component/c:section"/>
    </div>
  </xsl:template>

  <xsl:template match="c:section">
    <xsl:param name="level" select="2"/>
    <section>
      <xsl:call-template name="language"/>
      <xsl:if test="c:title//text() or c:code/@displayName">
        <xsl:element name="h{$level}">
          <xsl:attribute name="dir">auto</xsl:attribute>
          <xsl:call-template name="anchor"/>
          <xsl:choose>
            <xsl:when test="c:title//text()"><xsl:value-of select="c:title"/></xsl:when>
            <xsl:otherwise><xsl:value-of select="c:code/@displayName"/></xsl:otherwise>
          </xsl:choose>
        </xsl:element>
      </xsl:if>
      <xsl:choose>
        <xsl:when test="c:text">
          <div class="text">
            <xsl:for-each select="c:text"><xsl:call-template name="anchor"/><xsl:call-template name="language"/></xsl:for-each>
            <xsl:apply-templates select="c:text/node()"/>
          </div>
          <xsl:if test="c:text//c:footnote">
            <div class="notes">
              <p><xsl:value-of select="$notes"/></p>
              <xsl:for-each select="c:text//c:footnote">
                <div dir="auto" id="note-{@w:n}"><a href="#ref-{@w:n}"><xsl:value-of select="@w:n"/></a>. <xsl:apply-templates/></div>
              </xsl:for-each>
            </div>
          </xsl:if>
        </xsl:when>
        <xsl:when test="not(c:component/c:section)"><p class="empty"><xsl:value-of select="$empty"/></p></xsl:when>
      </xsl:choose>
      <xsl:apply-templates select="c:component/c:section">
        <xsl:with-param name="level"><xsl:choose>
          <xsl:when test="$level &lt; 6"><xsl:value-of select="$level + 1"/></xsl:when>
          <xsl:otherwise>6</xsl:otherwise>
        </xsl:choose></xsl:with-param>
      </xsl:apply-templates>
    </section>
  </xsl:template>

  <!-- What a place needs that links lead to, and what a text is written in. -->
  <xsl:template name="anchor">
    <xsl:if test="@w:id"><xsl:attribute name="id"><xsl:value-of select="@w:id"/></xsl:attribute></xsl:if>
  </xsl:template>
  <xsl:template name="language">
    <xsl:param name="of" select="."/>
    <xsl:if test="$of/@w:lang"><xsl:attribute name="lang"><xsl:value-of select="$of/@w:lang"/></xsl:attribute></xsl:if>
    <xsl:if test="$of/@w:dir"><xsl:attribute name="dir"><xsl:value-of select="$of/@w:dir"/></xsl:attribute></xsl:if>
  </xsl:template>

  <!-- Running text. -->
  <xsl:template match="c:paragraph">
    <p dir="auto"><xsl:call-template name="anchor"/><xsl:call-template name="language"/><xsl:apply-templates/></p>
  </xsl:template>
  <xsl:template match="c:caption"><p class="caption" dir="auto"><xsl:call-template name="anchor"/><xsl:apply-templates/></p></xsl:template>
  <xsl:template match="c:paragraph/c:caption"><b><xsl:call-template name="anchor"/><xsl:apply-templates/></b><xsl:text> </xsl:text></xsl:template>
  <xsl:template match="c:content">
    <xsl:variable name="style" select="translate(@styleCode, $upper, $lower)"/>
    <xsl:variable name="classes">
      <xsl:if test="contains($style, 'bold')"> bold</xsl:if>
      <xsl:if test="contains($style, 'italic')"> italic</xsl:if>
      <xsl:if test="contains($style, 'underline')"> underline</xsl:if>
      <xsl:if test="contains($style, 'emphasis')"> emphasis</xsl:if>
    </xsl:variable>
    <xsl:choose>
      <xsl:when test="@revised = 'delete'"><del><xsl:call-template name="anchor"/><xsl:apply-templates/></del></xsl:when>
      <xsl:when test="@revised = 'insert'"><ins><xsl:call-template name="anchor"/><xsl:apply-templates/></ins></xsl:when>
      <xsl:otherwise>
        <span>
          <xsl:call-template name="anchor"/>
          <xsl:call-template name="language"/>
          <xsl:if test="$classes != ''"><xsl:attribute name="class"><xsl:value-of select="normalize-space($classes)"/></xsl:attribute></xsl:if>
          <xsl:apply-templates/>
        </span>
      </xsl:otherwise>
    </xsl:choose>
  </xsl:template>
  <xsl:template match="c:br"><br/><xsl:apply-templates/></xsl:template>
  <xsl:template match="c:sub"><sub><xsl:apply-templates/></sub></xsl:template>
  <xsl:template match="c:sup"><sup><xsl:apply-templates/></sup></xsl:template>

  <!-- Links lead within the document; where another one would lead is told. -->
  <xsl:template match="c:linkHtml[@w:to]"><a href="#{@w:to}"><xsl:call-template name="anchor"/><xsl:apply-templates/></a></xsl:template>
  <xsl:template match="c:linkHtml">
    <span><xsl:call-template name="anchor"/><xsl:apply-templates/></span>
    <xsl:if test="@href and not(starts-with(@href, '#'))"><xsl:text> </xsl:text><bdi class="address">[<xsl:value-of select="substring(@href, 1, 300)"/>]</bdi></xsl:if>
  </xsl:template>
  <xsl:template match="c:footnote">
    <sup><a id="ref-{@w:n}" href="#note-{@w:n}" aria-label="{$note} {@w:n}"><xsl:value-of select="@w:n"/></a></sup>
  </xsl:template>
  <xsl:template match="c:footnoteRef">
    <xsl:if test="@w:n"><sup><a href="#note-{@w:n}" aria-label="{$note} {@w:n}"><xsl:value-of select="@w:n"/></a></sup></xsl:if>
  </xsl:template>
  <xsl:template match="c:renderMultiMedia">
    <span class="media">
      <xsl:call-template name="anchor"/>
      <xsl:for-each select="w:picture"><img data-picture="{@n}" alt=""/></xsl:for-each>
      <xsl:if test="c:caption"><span class="caption" dir="auto"><xsl:apply-templates select="c:caption/node()"/></span></xsl:if>
    </span>
  </xsl:template>

  <!-- Lists. -->
  <xsl:template match="c:list">
    <xsl:if test="c:caption"><p class="caption" dir="auto"><xsl:apply-templates select="c:caption/node()"/></p></xsl:if>
    <xsl:variable name="style" select="translate(@styleCode, $upper, $lower)"/>
    <xsl:variable name="class"><xsl:choose>
      <xsl:when test="contains($style, 'littleroman')">little-roman</xsl:when>
      <xsl:when test="contains($style, 'bigroman')">big-roman</xsl:when>
      <xsl:when test="contains($style, 'littlealpha')">little-alpha</xsl:when>
      <xsl:when test="contains($style, 'bigalpha')">big-alpha</xsl:when>
      <xsl:when test="contains($style, 'circle')">circle</xsl:when>
      <xsl:when test="contains($style, 'square')">square</xsl:when>
    </xsl:choose></xsl:variable>
    <xsl:variable name="name"><xsl:choose>
      <xsl:when test="@listType = 'ordered'">ol</xsl:when><xsl:otherwise>ul</xsl:otherwise>
    </xsl:choose></xsl:variable>
    <xsl:element name="{$name}">
      <xsl:call-template name="anchor"/>
      <xsl:call-template name="language"/>
      <xsl:if test="$class != ''"><xsl:attribute name="class"><xsl:value-of select="$class"/></xsl:attribute></xsl:if>
      <xsl:apply-templates select="node()[not(self::c:caption)]" mode="item"/>
    </xsl:element>
  </xsl:template>
  <!-- What stands where it may not stand keeps its text, in an item, a row or a cell of its own. -->
  <xsl:template match="node()" mode="item">
    <xsl:if test="normalize-space(.) != ''"><li dir="auto"><xsl:apply-templates select="."/></li></xsl:if>
  </xsl:template>
  <xsl:template match="c:item" mode="item"><xsl:apply-templates select="."/></xsl:template>
  <!-- The marks of a list stand on one side, its own, whichever way the words of an item run. -->
  <xsl:template match="c:item">
    <li>
      <xsl:call-template name="anchor"/>
      <xsl:choose>
        <xsl:when test="c:paragraph | c:list | c:table | c:renderMultiMedia">
          <xsl:attribute name="dir">auto</xsl:attribute>
          <xsl:apply-templates/>
        </xsl:when>
        <xsl:otherwise><bdi><xsl:apply-templates/></bdi></xsl:otherwise>
      </xsl:choose>
    </li>
  </xsl:template>
  <xsl:template match="c:item/c:caption"><b><xsl:call-template name="anchor"/><xsl:apply-templates/></b><xsl:text> </xsl:text></xsl:template>

  <!-- Tables: each in a box of its own that scrolls where a page is narrow. -->
  <xsl:template match="c:table">
    <div class="scroll" role="region" tabindex="0">
      <xsl:attribute name="aria-label"><xsl:choose>
        <xsl:when test="c:caption//text()"><xsl:value-of select="substring(normalize-space(c:caption), 1, 120)"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="$table"/></xsl:otherwise>
      </xsl:choose></xsl:attribute>
      <table>
        <xsl:call-template name="anchor"/>
        <xsl:call-template name="language"/>
        <xsl:if test="c:caption//text()"><caption dir="auto"><xsl:apply-templates select="c:caption/node()"/></caption></xsl:if>
        <xsl:apply-templates select="c:thead"/>
        <xsl:apply-templates select="node()[not(self::c:thead or self::c:caption)]" mode="row"/>
      </table>
    </div>
  </xsl:template>
  <xsl:template match="c:thead"><thead><xsl:apply-templates mode="row"/></thead></xsl:template>
  <xsl:template match="c:tbody"><tbody><xsl:call-template name="anchor"/><xsl:apply-templates mode="row"/></tbody></xsl:template>
  <xsl:template match="c:tfoot"><tfoot><xsl:apply-templates mode="row"/></tfoot></xsl:template>
  <xsl:template match="c:tr"><tr><xsl:call-template name="anchor"/><xsl:apply-templates mode="cell"/></tr></xsl:template>
  <xsl:template match="node()" mode="row">
    <xsl:if test="normalize-space(.) != ''"><tr><xsl:apply-templates select="." mode="cell"/></tr></xsl:if>
  </xsl:template>
  <xsl:template match="c:tr | c:tbody | c:tfoot | c:thead" mode="row"><xsl:apply-templates select="."/></xsl:template>
  <xsl:template match="node()" mode="cell">
    <xsl:if test="normalize-space(.) != ''"><td dir="auto"><xsl:apply-templates select="."/></td></xsl:if>
  </xsl:template>
  <xsl:template match="c:td | c:th" mode="cell"><xsl:apply-templates select="."/></xsl:template>
  <xsl:template match="c:td | c:th">
    <xsl:variable name="style" select="translate(@styleCode, $upper, $lower)"/>
    <xsl:variable name="classes">
      <xsl:if test="@align = 'right'"> end</xsl:if>
      <xsl:if test="@align = 'center'"> middle</xsl:if>
      <xsl:if test="contains($style, 'toprule')"> rule-start</xsl:if>
      <xsl:if test="contains($style, 'botrule')"> rule-end</xsl:if>
    </xsl:variable>
    <xsl:element name="{local-name()}">
      <xsl:attribute name="dir">auto</xsl:attribute>
      <xsl:call-template name="anchor"/>
      <xsl:call-template name="language"/>
      <xsl:if test="$classes != ''"><xsl:attribute name="class"><xsl:value-of select="normalize-space($classes)"/></xsl:attribute></xsl:if>
      <xsl:copy-of select="@colspan | @rowspan"/>
      <xsl:if test="self::c:th"><xsl:copy-of select="@scope"/></xsl:if>
      <xsl:apply-templates/>
    </xsl:element>
  </xsl:template>

  <!-- Of anything else, the text. -->
  <xsl:template match="*"><xsl:apply-templates/></xsl:template>
</xsl:stylesheet>
