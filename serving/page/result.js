// Shows one answer: the score with its interval, or why there is none, what moved it, and where in the text.

import { made, rough, shown } from "./dom.js";

/** Return the nodes that show an answer to a text. */
export function resultOf(answer, text, prompt) {
  if (answer.abstained) {
    return [made("div", { className: "abstained" },
      made("strong", {}, "No score: please read this one yourself."), made("span", {}, answer.reason ?? answer.abstained)),
    ...writtenOf(text, [])];
  }
  const passages = answer.feedback.filter((one) => one.start !== null).sort((a, b) => a.start - b.start);
  return [
    made("div", { className: "verdict" },
      made("p", { className: "number" }, shown(answer.score), " ",
        made("small", {}, `of ${shown(prompt.low)} to ${shown(prompt.high)}, prompt ${prompt.prompt}`)),
      scaleOf(answer, prompt)),
    ...traitsOf(answer, prompt),
    ...feedbackOf(answer, passages),
    ...writtenOf(text, passages),
  ];
}

/** Return the interval in words, or nothing. */
export function intervalOf(answer) {
  return answer.interval ? `${rough(answer.interval[0])} to ${rough(answer.interval[1])}` : "";
}

function scaleOf(answer, prompt) {
  const share = (score) => (100 * (score - prompt.low)) / (prompt.high - prompt.low);
  const track = made("div", { className: "track", "aria-hidden": "true" });
  if (answer.interval) {
    const band = made("div", { className: "band" });
    band.style.left = `${share(answer.interval[0])}%`;
    band.style.right = `${100 - share(answer.interval[1])}%`;
    track.append(band);
  }
  const at = made("div", { className: "at" });
  at.style.left = `${share(answer.raw ?? answer.score)}%`;
  track.append(at);
  return made("div", { className: "scale" }, track,
    made("div", { className: "ends", "aria-hidden": "true" }, made("span", {}, shown(prompt.low)), made("span", {}, shown(prompt.high))),
    answer.interval
      ? made("p", {}, "Nine in ten human scores of such texts lie between ", made("strong", {}, rough(answer.interval[0])), " and ",
        made("strong", {}, rough(answer.interval[1])), `. Before rounding: ${rough(answer.raw)}.`)
      : null);
}

function traitsOf(answer, prompt) {
  const names = Object.keys(answer.traits);
  if (!names.length) return [];
  const rows = names.map((name) => {
    const scale = prompt.traits[name];
    return made("tr", {}, made("th", { scope: "row" }, name.replaceAll("_", " ")),
      made("td", { className: "n" }, shown(answer.traits[name])),
      made("td", {}, scale ? `${shown(scale.low)} to ${shown(scale.high)}` : ""));
  });
  return [made("h3", {}, "Traits"), made("table", { className: "traits" },
    made("thead", {}, made("tr", {}, ...["Trait", "Score", "Scale"].map((name) => made("th", { scope: "col", className: name === "Score" ? "n" : "" }, name)))),
    made("tbody", {}, ...rows))];
}

function feedbackOf(answer, passages) {
  if (!answer.feedback.length) return [made("h3", {}, "What moved the score"), made("p", {}, "Nothing stands out: it is much like the usual response.")];
  const items = answer.feedback.map((one) => {
    const place = passages.indexOf(one);
    const side = one.effect > 0 ? "up" : one.effect < 0 ? "down" : "none";
    const sign = one.effect > 0 ? "+" : one.effect < 0 ? "\u2212" : "";
    return made("li", {},
      made("span", { className: `effect ${side}` }, side === "none" ? "note" : `${sign}${Math.abs(one.effect).toFixed(Math.abs(one.effect) >= 0.05 ? 1 : 2)}`),
      made("span", {}, place >= 0 ? made("strong", {}, `Passage ${place + 1}: `) : null, one.sentence));
  });
  return [made("h3", {}, "What moved the score, in points"), made("ul", { className: "moved" }, ...items)];
}

function writtenOf(text, passages) {
  // Places count characters, not the 16-bit halves that a script counts.
  const characters = Array.from(text);
  const parts = [];
  let from = 0;
  passages.forEach((one, number) => {
    if (one.start < from) return;
    const blank = characters.slice(one.start, one.end).findIndex((character) => character.trim());
    const start = one.start + Math.max(0, blank);
    parts.push(characters.slice(from, start).join(""));
    const side = one.effect > 0 ? "up" : "down";
    parts.push(made("mark", { className: side },
      made("span", { className: "said" }, `passage ${number + 1}, ${side === "up" ? "raises" : "lowers"} the score: `),
      made("sup", { "aria-hidden": "true" }, String(number + 1)), characters.slice(start, one.end).join(""),
      made("span", { className: "said" }, " (end of passage)")));
    from = one.end;
  });
  parts.push(characters.slice(from).join(""));
  return [made("h3", { id: "written-title" }, "The text"),
    made("div", { className: "written", role: "region", "aria-labelledby": "written-title", tabIndex: 0 }, ...parts)];
}
