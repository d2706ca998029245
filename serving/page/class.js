// A class: a table from a file, graded run by run, shown as a table whose rows can be opened.

import { graded, runs } from "./api.js";
import { $, made, shown, tell } from "./dom.js";
import { intervalOf } from "./result.js";
import { csv, decoded, guessed, MOST_BYTES, parsed, Unreadable } from "./table.js";

/** One text of the class, with what came of it. */
class Entry {
  constructor(row, student, response, text) {
    Object.assign(this, { row, student, response, text, answer: null, error: "", corrected: null });
  }

  get name() {
    return this.student || `row ${this.row}`;
  }
}

/** Wire the class part. `open(entry)` shows one; `chosen()` returns the prompt; `limits` come from the service. */
export function classPart({ open, chosen, limits, problem, status }) {
  let table = null;
  let entries = [];
  let prompt = null;

  async function take(file) {
    tell(problem, "");
    $("columns").hidden = true;
    table = null;
    try {
      if (!file) return;
      if (file.size > MOST_BYTES) throw new Unreadable(`The file has ${file.size} bytes; at most ${MOST_BYTES} are taken. Split it.`);
      table = parsed(decoded(new Uint8Array(await file.arrayBuffer())));
    } catch (error) {
      tell(problem, error instanceof Unreadable ? error.message : "The file could not be read.");
      return;
    }
    const guess = guessed(table);
    fill($("text-column"), table.headers, guess.text, false);
    fill($("student-column"), table.headers, guess.student, true);
    fill($("response-column"), table.headers, guess.response, true);
    $("file-said").textContent = `${file.name}: ${table.rows.length} rows.`;
    $("columns").hidden = false;
    tell(status, `${table.rows.length} rows read. Check the columns, then grade the class.`);
    $("text-column").focus();
  }

  async function grade() {
    prompt = chosen();
    const [text, student, response] = ["text", "student", "response"].map((name) => Number($(`${name}-column`).value));
    const cell = (row, at) => (at < 0 ? "" : (row[at] ?? "").trim());
    entries = table.rows.map((row, at) => new Entry(at + 1, cell(row, student), cell(row, response), row[text] ?? ""));
    const bar = $("progress");
    bar.hidden = false;
    bar.value = 0;
    let done = 0;
    for (const run of runs(entries.map((entry) => entry.text), limits.most_in_list, limits.body_bytes - 10_000)) {
      const { results } = await graded(run.map((one) => ({ prompt: prompt.prompt, text: one })));
      results.forEach((result, at) => {
        entries[done + at].answer = result.answer ?? null;
        entries[done + at].error = result.error?.error ?? "";
      });
      done += run.length;
      bar.value = done / entries.length;
      tell(status, `${done} of ${entries.length} texts graded.`);
    }
    bar.hidden = true;
    show();
    $("table-part").hidden = false;
    $("table-title").focus();
  }

  function show() {
    const open_ = entries.filter((entry) => !entry.answer || entry.answer.abstained).length;
    $("table-said").textContent = `${entries.length - open_} of ${entries.length} texts have a score` +
      (open_ ? `; ${open_} ${open_ === 1 ? "needs" : "need"} your own reading.` : ".");
    $("rows").replaceChildren(...entries.map(rowOf));
  }

  function rowOf(entry) {
    const { answer } = entry;
    const refused = !answer || answer.abstained;
    const score = entry.corrected ?? answer?.score;
    const button = made("button", { type: "button", onclick: () => open(entry, prompt) }, "Open",
      made("span", { className: "said" }, ` ${entry.name}`));
    const note = entry.corrected !== null ? made("span", { className: "corrected" }, "Corrected by you")
      : refused ? (answer?.reason ?? entry.error) : "";
    return made("tr", { className: refused && entry.corrected === null ? "refused" : "" },
      made("td", { className: "n" }, String(entry.row)), made("th", { scope: "row" }, entry.student || "\u2013"),
      made("td", { className: "n" }, score === null || score === undefined ? "\u2013" : shown(score)),
      made("td", {}, answer ? intervalOf(answer) : ""), made("td", {}, note), made("td", { className: "no-print" }, button));
  }

  function download() {
    const rows = entries.map((entry) => {
      const score = entry.corrected ?? entry.answer?.score;
      const note = entry.corrected !== null ? "corrected" : entry.answer?.reason ?? entry.error;
      return [entry.row, entry.student, entry.response, prompt.prompt, score ?? "", intervalOf(entry.answer ?? {}), note ?? ""];
    });
    const body = csv([["Row", "Student", "Response", "Prompt", "Grade", "Interval", "Note"], ...rows]);
    const link = made("a", { href: URL.createObjectURL(new Blob([body], { type: "text/csv" })), download: "grades.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  $("file").addEventListener("change", (event) => take(event.target.files[0]));
  const drop = $("drop");
  for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", over);
    });
  }
  drop.addEventListener("drop", (event) => take(event.dataTransfer.files[0]));
  $("download").addEventListener("click", download);
  return { grade, show };
}

function fill(select, headers, chosen, none) {
  select.replaceChildren(...(none ? [made("option", { value: "-1" }, "none")] : []),
    ...headers.map((name, at) => made("option", { value: String(at) }, name)));
  select.value = String(chosen);
}
