// Tables of a class: reading CSV and TSV (RFC 4180), finding the columns, writing grades.

export const MOST_BYTES = 5_000_000;
export const MOST_TEXTS = 500;
const DELIMITERS = ["\t", ",", ";"];
const TEXT = /^(text|essay|response|answer|essaytext|writing|body|submission|content)$/i;
const STUDENT = /^(student|student[ _]?(name|id)|name|pupil|learner|user|login( id)?|sis (user|login) id)$/i;
const RESPONSE = /^(response[ _]?id|essay[ _]?id|response|id)$/i;

/** What is wrong with a file, in a sentence. */
export class Unreadable extends Error {}

/** Return the text of a file's bytes: UTF-8, UTF-16 with a mark, or else Windows-1252 as spreadsheets write it. */
export function decoded(bytes) {
  const mark = (bytes[0] << 8) | bytes[1];
  if (mark === 0xfffe) return new TextDecoder("utf-16le").decode(bytes);
  if (mark === 0xfeff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Return { headers, rows } of a table. Throws Unreadable. */
export function parsed(source) {
  const text = source.replaceAll("\0", "");
  const first = text.slice(0, /\r|\n/.test(text) ? text.search(/\r|\n/) : text.length);
  const counts = DELIMITERS.map((mark) => first.split(mark).length);
  const delimiter = DELIMITERS[counts.indexOf(Math.max(...counts))];
  const [headers, ...rows] = cells(text, delimiter).filter((row) => row.some((cell) => cell.trim()));
  if (!headers || !rows.length) throw new Unreadable("The file has no rows below its headers. Save the table with a row of headers.");
  const names = headers.map((name, at) => name.trim() || `column ${at + 1}`);
  const wrong = rows.findIndex((row) => row.length > names.length);
  if (wrong >= 0) {
    throw new Unreadable(`Row ${wrong + 1} has ${rows[wrong].length} cells, the headers ${names.length}. Texts with ` +
      "commas, tabs or line ends need quotes around them: save the table as CSV from your spreadsheet.");
  }
  if (rows.length > MOST_TEXTS) {
    throw new Unreadable(`The file has ${rows.length} rows; at most ${MOST_TEXTS} are taken. Split it, or use homeroom score.`);
  }
  return { headers: names, rows };
}

function cells(text, delimiter) {
  const rows = [[]];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const mark = text[at];
    if (quoted) {
      if (mark !== '"') cell += mark;
      else if (text[at + 1] === '"') { cell += '"'; at += 1; } else quoted = false;
    } else if (mark === '"' && cell === "") quoted = true;
    else if (mark === delimiter) { rows.at(-1).push(cell); cell = ""; }
    else if (mark === "\n" || mark === "\r") {
      if (mark === "\r" && text[at + 1] === "\n") at += 1;
      rows.at(-1).push(cell);
      cell = "";
      rows.push([]);
    } else cell += mark;
  }
  if (quoted) throw new Unreadable("A quote is opened and never closed. Save the table as CSV from your spreadsheet.");
  rows.at(-1).push(cell);
  return rows;
}

/** Return which columns hold the texts, the students and the ids of the texts; -1 for none. */
export function guessed({ headers, rows }) {
  const lengths = headers.map((_, at) => rows.reduce((sum, row) => sum + (row[at] ?? "").length, 0));
  let text = headers.findIndex((name, at) => TEXT.test(name) && lengths[at] === Math.max(...lengths));
  if (text < 0) text = lengths.indexOf(Math.max(...lengths));
  const other = (pattern) => headers.findIndex((name, at) => at !== text && pattern.test(name));
  return { text, student: other(STUDENT), response: other(RESPONSE) };
}

/** Return a CSV that spreadsheets read as texts and numbers, never as formulas. */
export function csv(rows) {
  const line = (row) => row.map((value) => cellOf(value)).join(",");
  return `\ufeff${rows.map(line).join("\r\n")}\r\n`;
}

function cellOf(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
