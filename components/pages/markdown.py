"""HTML from the Markdown that model cards hold: headings, paragraphs, lists, tables, code, emphasis. No raw HTML.

Markdown of a card is text of ours with figures in it, so a small part of the language will do; whatever else stands in
a card is shown as it is written. Every text is escaped: nothing in a card can become markup of its own.
"""

import re
from collections.abc import Iterator
from html import escape

_HEADING = re.compile(r"(#{1,5})\s+(.*)")
_ITEM = re.compile(r"[-*] ")
_INLINE = re.compile(r"(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)")
_RULE = re.compile(r"[|\s:-]+")


def html_of(markdown: str, *, level: int = 1) -> str:
    """Return HTML; the card's first heading, which names it, is left out where `level` is above 1.

    Args:
        markdown: the card.
        level: of the highest heading below the card's title, e.g. 3 for `##` to become `h3`.
    """
    shift = max(0, level - 2)
    blocks = re.split(r"\n{2,}", markdown.strip())
    return "\n".join(part for block in blocks for part in _block(block.rstrip(), shift, titled=level == 1))


def title_of(markdown: str) -> str:
    """Return the text of the first heading, or an empty one."""
    found = re.search(r"^#\s+(.*)$", markdown, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _block(block: str, shift: int, *, titled: bool) -> Iterator[str]:
    lines = [line for line in block.split("\n") if line.strip()]
    if not lines:
        return
    heading = _HEADING.fullmatch(lines[0].strip())
    if heading:
        depth = len(heading.group(1))
        if depth > 1 or titled:
            tag = f"h{min(6, depth + (shift if depth > 1 else 0))}"
            yield f"<{tag}>{_inline(heading.group(2).strip())}</{tag}>"
        yield from _block("\n".join(lines[1:]), shift, titled=titled)
        return
    table = next((at for at, line in enumerate(lines) if line.startswith("|")), None)
    if table is not None and (table > 0 or len(lines) > 1):
        yield from _block("\n".join(lines[:table]), shift, titled=titled)
        end = next((at for at in range(table, len(lines)) if not lines[at].startswith("|")), len(lines))
        yield _table(lines[table:end])
        yield from _block("\n".join(lines[end:]), shift, titled=titled)
        return
    if _ITEM.match(lines[0]):
        items: list[str] = []
        for line in lines:
            if _ITEM.match(line) or not items:
                items.append(line[2:].strip())
            else:
                items[-1] += f" {line.strip()}"
        yield "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        return
    yield f"<p>{_inline(' '.join(line.strip() for line in lines))}</p>"


def _table(lines: list[str]) -> str:
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if not _RULE.fullmatch(line)
    ]
    head, *body = rows
    cells = "".join(f'<th scope="col">{_inline(cell)}</th>' if cell else "<td></td>" for cell in head)
    out = [f"<thead><tr>{cells}</tr></thead>"]
    for row in body:
        first, *rest = [*row, *[""] * (len(head) - len(row))][: len(head)]
        start = f'<th scope="row">{_inline(first)}</th>' if first else "<td></td>"
        out.append(f"<tr>{start}" + "".join(f"<td>{_inline(cell)}</td>" for cell in rest) + "</tr>")
    label = escape(", ".join(cell for cell in head if cell) or "figures")
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="Table: {label}"><table>{"".join(out)}</table></div>'
    )


def _inline(text: str) -> str:
    out = []
    for part in _INLINE.split(text):
        if len(part) > 2 and part[0] == part[-1] == "`":
            out.append(f"<code>{escape(part[1:-1])}</code>")
        elif len(part) > 4 and part.startswith("**") and part.endswith("**"):
            out.append(f"<strong>{escape(part[2:-2])}</strong>")
        elif len(part) > 2 and part[0] == part[-1] == "*":
            out.append(f"<em>{escape(part[1:-1])}</em>")
        else:
            out.append(escape(part))
    return "".join(out)
