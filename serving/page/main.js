// The teacher's page: what it knows comes from the service, and what a person decides goes back to it.

import { card, explained, grading } from "./api.js";
import { cardOf } from "./card.js";
import { classPart } from "./class.js";
import { $, made, shown, tell } from "./dom.js";
import { overridePart } from "./override.js";
import { resultOf } from "./result.js";
import { session, signOut } from "./session.js";

const problem = $("problem");
const status = $("status");
let shownNow = null;

/** Run what a button asks for, once at a time, and say what went wrong. */
async function during(button, work) {
  tell(problem, "");
  if (button) button.disabled = true;
  try {
    await work();
  } catch (error) {
    tell(status, "");
    tell(problem, error.message);
    problem.scrollIntoView({ block: "center" });
  } finally {
    if (button) button.disabled = false;
  }
}

async function start() {
  const info = await grading();
  const prompts = new Map(info.prompts.map((one) => [one.prompt, one]));
  $("release").textContent = info.release;
  $("prompt").replaceChildren(...info.prompts.map((one) => made("option", { value: one.prompt }, one.prompt)));
  const chosen = () => prompts.get($("prompt").value);
  const tellScale = () => {
    const one = chosen();
    $("scale").textContent = one ? `Scored from ${shown(one.low)} to ${shown(one.high)} in steps of ${shown(one.step)}.` : "";
  };
  $("prompt").addEventListener("change", tellScale);
  tellScale();

  const show = (entry, prompt, { answer, release }) => {
    shownNow = { entry, prompt, answer, release };
    $("result-title").textContent = entry.row ? `Result: ${entry.name}` : "Result";
    $("result").replaceChildren(...resultOf(answer, entry.text, prompt));
    ready(shownNow);
    $("result-part").hidden = false;
    $("result-title").focus();
    tell(status, answer.abstained ? `No score: ${answer.reason}` : `Score ${shown(answer.score)} of ${shown(prompt.low)} to ${shown(prompt.high)}.`);
  };
  const open = (entry, prompt) => during(null, async () => {
    tell(status, "Reading the text…");
    show(entry, prompt, await explained(prompt.prompt, entry.text));
  });
  const room = classPart({ open, chosen, limits: info, problem, status });
  const ready = overridePart({
    info,
    current: () => shownNow,
    saved: (score) => {
      shownNow.entry.corrected = score;
      if (shownNow.entry.row) room.show();
    },
  });

  $("essay-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("text").value;
    during($("essay-form").querySelector("button"), async () => {
      tell(status, "Grading…");
      const entry = { row: 0, name: "", student: "", response: "", text, corrected: null };
      show(entry, chosen(), await explained(chosen().prompt, text));
    });
  });
  $("class-form").addEventListener("submit", (event) => {
    event.preventDefault();
    during($("columns").querySelector("button"), () => room.grade());
  });
  for (const button of document.querySelectorAll("button.print")) button.addEventListener("click", () => window.print());
  $("card").addEventListener("toggle", () => {
    if ($("card").open && !$("card-body").childElementCount) {
      during(null, async () => $("card-body").replaceChildren(...cardOf(await card())));
    }
  });
  const { client } = await session();
  if (client) {
    $("sign-out").textContent = `Sign out ${client}`;
    $("sign-out").hidden = false;
    $("sign-out").addEventListener("click", () => during($("sign-out"), async () => {
      await signOut();
      location.reload();
    }));
  }
  document.body.dataset.ready = "true";
}

during(null, start);
