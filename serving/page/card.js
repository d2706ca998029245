// The model card: the little Markdown that cards hold -> nodes.

import { made } from "./dom.js";

/** Return the nodes of a card. */
export function cardOf(markdown) {
  return markdown.split(/\n{2,}/).flatMap((block) => blockOf(block.replace(/\s+$/, "")));
}

function blockOf(block) {
  const lines = block.split("\n").filter((line) => line.trim());
  if (!lines.length) return [];
  const heading = /^(#{1,3})\s+(.*)$/.exec(lines[0]);
  if (heading) {
    // The page's own headings stand above the card's.
    const level = Math.min(6, heading[1].length + 1);
    return [...(heading[1].length > 1 ? [made(`h${level}`, {}, ...inline(heading[2]))] : []), ...blockOf(lines.slice(1).join("\n"))];
  }
  const table = lines.findIndex((line) => line.startsWith("|"));
  if (table === 0 && lines.length > 1) {
    const end = lines.findIndex((line) => !line.startsWith("|"));
    const own = end < 0 ? lines : lines.slice(0, end);
    return [tableOf(own), ...(end < 0 ? [] : blockOf(lines.slice(end).join("\n")))];
  }
  if (table > 0) return [...blockOf(lines.slice(0, table).join("\n")), ...blockOf(lines.slice(table).join("\n"))];
  if (/^[-*] /.test(lines[0])) {
    const items = [];
    for (const line of lines) {
      if (/^[-*] /.test(line)) items.push(line.slice(2));
      else items[items.length - 1] += ` ${line.trim()}`;
    }
    return [made("ul", {}, ...items.map((item) => made("li", {}, ...inline(item))))];
  }
  return [made("p", {}, ...inline(lines.join(" ")))];
}

function tableOf(lines) {
  const rows = lines.filter((line) => !/^[|\s:-]+$/.test(line)).map((line) => line.replace(/^\||\|$/g, "").split("|"));
  const [head, ...body] = rows.map((row) => row.map((cell) => cell.trim()));
  const width = head.length;
  const filled = (row) => [...row, ...Array(Math.max(0, width - row.length)).fill("")].slice(0, width);
  return made("div", { className: "scroll", role: "region", "aria-label": `Table: ${head.join(", ")}`, tabIndex: 0 },
    made("table", {},
      made("thead", {}, made("tr", {}, ...head.map((cell) => made(cell ? "th" : "td", cell ? { scope: "col" } : {}, ...inline(cell))))),
      made("tbody", {}, ...body.map((row) => made("tr", {}, ...filled(row).map((cell, at) => (at === 0
        ? made("th", { scope: "row" }, ...inline(cell)) : made("td", {}, ...inline(cell)))))))));
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/).filter(Boolean).map((part) => {
    if (/^`.+`$/.test(part)) return made("code", {}, part.slice(1, -1));
    if (/^\*\*.+\*\*$/.test(part)) return made("strong", {}, part.slice(2, -2));
    if (/^\*.+\*$/.test(part)) return made("em", {}, part.slice(1, -1));
    return part;
  });
}
