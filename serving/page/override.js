// Correcting a score: checked here, stored by the service before it says so.

import { override } from "./api.js";
import { $, made, randomId, shown, tell } from "./dom.js";

const MOST_POINTS = 200;

/** Wire the form. `current()` returns { entry, prompt, answer, release }; `saved(score)` is called after it is stored. */
export function overridePart({ info, current, saved }) {
  $("override-form").hidden = !info.overrides;
  $("no-overrides").hidden = info.overrides;
  $("student-field").hidden = !info.ids;
  let id = randomId();

  $("override-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = $("override-problem");
    tell(problem, "");
    tell($("saved"), "");
    for (const [name, sentence] of [["score", "Choose your score."], ["teacher", "Enter your name."], ["reason", "Say why, in a few words."]]) {
      const field = $(name);
      const isEmpty = !field.value.trim();
      field.setAttribute("aria-invalid", String(isEmpty));
      if (isEmpty) {
        tell(problem, sentence);
        field.focus();
        return;
      }
    }
    const { entry, prompt, answer, release } = current();
    const score = Number($("score").value);
    const correction = {
      id, release, prompt: prompt.prompt, text: entry.text, machine_score: answer.score, score,
      reason: $("reason").value, teacher: $("teacher").value,
    };
    if (info.ids && $("student").value.trim()) correction.student = $("student").value.trim();
    if (info.ids && entry.response) correction.response = entry.response;
    const button = event.submitter ?? $("override-form").querySelector("button");
    button.disabled = true;
    try {
      await override(correction);
      id = randomId(); // the next one is another; after a failure the same is sent again
      tell($("saved"), `Saved: your score of ${shown(score)} is stored for the next training.`);
      $("reason").value = "";
      saved(score);
    } catch (error) {
      tell(problem, error.message);
    } finally {
      button.disabled = false;
      button.focus();
    }
  });

  /** Make the form ready for another result. */
  return function ready({ entry, prompt, answer }) {
    id = randomId();
    tell($("override-problem"), "");
    tell($("saved"), "");
    $("student").value = entry.student;
    const points = Math.round((prompt.high - prompt.low) / prompt.step) + 1;
    const scores = points > MOST_POINTS ? [] : Array.from({ length: points }, (_, at) => prompt.low + at * prompt.step);
    let field = $("score");
    const name = scores.length ? "SELECT" : "INPUT";
    if (field.tagName !== name) {
      const other = made(name, { id: "score", required: true });
      field.replaceWith(other);
      field = other;
    }
    if (scores.length) {
      field.replaceChildren(made("option", { value: "" }, "choose"), ...scores.map((one) => made("option", { value: shown(one) }, shown(one))));
    } else Object.assign(field, { type: "number", min: prompt.low, max: prompt.high, step: prompt.step });
    field.value = answer.score === null ? "" : shown(answer.score);
    for (const one of ["score", "teacher", "reason"]) $(one).removeAttribute("aria-invalid");
  };
}
