// Small helpers. Text becomes text nodes, never markup.

export const $ = (id) => document.getElementById(id);

/** Return a new element with properties, and children (nodes or texts; null ones are left out). */
export function made(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "scope") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show a message in an element of role alert or status; an empty one hides it. */
export function tell(element, message) {
  element.textContent = message;
  if (element.getAttribute("role") === "alert") element.hidden = !message;
}

/** Return a score as people write it: 4, 4.5. */
export const shown = (score) => String(Math.round(score * 100) / 100);

/** Return a number to one decimal, as an interval's ends are shown: more would promise too much. */
export const rough = (score) => String(Math.round(score * 10) / 10);

/** Return a random id of 32 hexadecimal digits. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
