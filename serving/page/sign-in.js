// The sign-in page, which a page shows in its own place until somebody is signed in.

import { $, tell } from "./dom.js";
import { signIn } from "./session.js";

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? $("sign-in").querySelector("button");
  const field = $("key");
  tell($("problem"), "");
  button.disabled = true;
  let wrong = "The server does not answer. Is it running? Try again.";
  try {
    wrong = field.value.trim() ? await signIn(field.value) : "Type your key.";
  } catch { /* as above */ }
  if (!wrong) {
    location.reload();
    return;
  }
  button.disabled = false;
  field.value = "";
  field.focus();
  tell($("problem"), wrong);
});
$("key").focus();
document.body.dataset.ready = "true";
