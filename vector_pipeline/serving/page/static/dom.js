// Building elements. Texts only ever become text nodes: nothing that the API says is parsed as HTML.

/** An element with properties, attributes (where a name has a dash or is `for`, `role`, `list`), listeners (`on…`),
 * and children: nodes or texts, those that are null or false left out. */
export function el(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name.includes("-") || ["for", "role", "list"].includes(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

export const count = (number, one, several) => `${number.toLocaleString("en")} ${number === 1 ? one : several}`;

/** 0.0123 as "12 ms", 3.2 as "3.2 s", 200 as "3 min". */
export function duration(seconds) {
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= length * 1.5) return `${Math.round(seconds / length)} ${unit}`;
  }
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}

/** How long ago a moment was, told on request to the second. */
export function ago(moment) {
  if (!moment) return "never";
  const then = new Date(moment);
  const seconds = Math.max(0, (Date.now() - then.getTime()) / 1000);
  return el("time", { dateTime: moment, title: then.toLocaleString() },
    seconds < 5 ? "just now" : `${duration(Math.max(1, Math.round(seconds)))} ago`);
}

const ENTITIES = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'", "&amp;": "&" };

/** A snippet, which is escaped text with <mark> elements, as nodes: any other tag stays the text that it is. */
export function marked(html) {
  const nodes = [];
  let mark = null;
  for (const part of html.split(/(<\/?mark>)/)) {
    if (part === "<mark>") nodes.push(mark = el("mark"));
    else if (part === "</mark>") mark = null;
    else if (part) (mark ?? { append: (text) => nodes.push(text) }).append(
      part.replace(/&(?:lt|gt|quot|#x27|#39|amp);/g, (entity) => ENTITIES[entity]));
  }
  return nodes;
}

/** The words that a snippet marks, in small letters. */
export function markedWords(html) {
  return [...new Set(marked(html).filter((node) => node instanceof Node).map((node) => node.textContent.toLowerCase()))];
}

/** A text as nodes, with these words marked. */
export function highlighted(text, words) {
  if (!words.length) return [text];
  const either = words.map((word) => word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|");
  const parts = text.split(new RegExp(`(?<![\\p{L}\\p{N}])(${either})(?![\\p{L}\\p{N}])`, "giu"));
  return parts.map((part, place) => (place % 2 ? el("mark", {}, part) : part));
}

/** The address, if it may be linked to: http or https, and nothing else. */
export function safeLink(value) {
  if (typeof value !== "string" || !/^https?:\/\//i.test(value)) return null;
  try {
    const url = new URL(value);
    return ["http:", "https:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}
