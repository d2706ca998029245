// Asks the service that served this page, and nobody else.

/** What went wrong, in the service's own words. */
export class Refused extends Error {}

async function asked(path, body) {
  let response;
  try {
    response = await fetch(`./v1/${path}`, body === undefined ? {} : {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    throw new Refused("The server does not answer. Is it running? Try again.");
  }
  if (response.status === 401) throw new Refused("You are no longer signed in. Load this page again, then sign in.");
  if (!response.ok) {
    let said = {};
    try { said = await response.json(); } catch { /* no JSON: the status must do */ }
    const rules = (said.problems ?? []).map((one) => `${one.path}: ${one.rule}`).join("; ");
    const sentence = said.error ?? `The server answered with status ${response.status}.`;
    throw new Refused(rules ? `${sentence} (${rules})` : sentence);
  }
  return response;
}

export const grading = async () => (await asked("grading")).json();
export const card = async () => (await asked("card")).text();
export const explained = async (prompt, text) => (await (await asked("predict", { prompt, text, explain: true })).json());
export const graded = async (requests) => (await (await asked("predict/batch", requests)).json());
export const override = async (correction) => (await (await asked("overrides", correction)).json());

/** Yield runs of texts that fit into one request each. */
export function* runs(texts, most, bytes) {
  let run = [];
  let size = 0;
  for (const text of texts) {
    const own = new TextEncoder().encode(JSON.stringify(text)).length + 200;
    if (run.length && (run.length >= most || size + own > bytes)) {
      yield run;
      run = [];
      size = 0;
    }
    run.push(text);
    size += own;
  }
  if (run.length) yield run;
}
