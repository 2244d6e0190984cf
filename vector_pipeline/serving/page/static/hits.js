// The documents that were found.

import { el, highlighted, marked, markedWords, safeLink } from "./dom.js";

const LONG = 360; // characters of a text that are shown before it is folded
const SCORE = { digits: 3 };

/** The list of an answer's hits. `onSimilar(hit)` is called for those that somebody wants more of; `columnsOf(index)`
 * gives those of an index's metadata. */
export function hitList(answer, choices) {
  return el("ol", { class: "hits" },
    answer.hits.map((hit, place) => el("li", {}, hitCard(hit, place + 1, answer, choices))));
}

export function titleOf(hit) {
  const [title] = Object.values(hit.texts).filter(Boolean);
  return shortened(title ?? `Document ${hit.key}`, 120);
}

function hitCard(hit, place, answer, { onSimilar, severalIndexes, columnsOf }) {
  const words = markedWords(hit.snippet?.html ?? "");
  const id = `hit-${place}`;
  const named = Object.entries(hit.texts).filter(([, text]) => text);
  const [first, ...rest] = named;
  return el("article", { class: "hit", tabIndex: -1, "aria-labelledby": id },
    el("div", { class: "hit-head" },
      el("span", { class: "rank", "aria-hidden": "true" }, String(place)),
      el("h2", { id, dir: "auto" }, highlighted(titleOf(hit), words)),
    ),
    el("div", { class: "hit-body" },
      first && textBlock(first, hit, words, { isTitle: true }),
      rest.map((one) => textBlock(one, hit, words, { isTitle: false })),
      badges(hit),
      metadata(hit, severalIndexes, columnsOf(hit.index)),
    ),
    el("div", { class: "hit-side" },
      scores(hit, answer),
      el("button", { type: "button", class: "quiet", onclick: () => onSimilar(hit) },
        "More like this", el("span", { class: "visually-hidden" }, `: ${titleOf(hit)}`)),
    ),
  );
}

/** A text with its name: the words where they are, or the passage that was found, or its beginning; the rest folded. */
function textBlock([name, text], hit, words, { isTitle }) {
  if (isTitle && text === titleOf(hit)) return null;
  const snippet = hit.snippet?.field === name ? hit.snippet : null;
  const passage = hit.field === name && hit.passage && hit.passage.end - hit.passage.start < hit.passage.length
    ? hit.passage : null;
  const folded = text.length > LONG;
  const shown = !folded ? highlighted(text, words)
    : snippet ? ["… ", ...marked(snippet.html), " …"]
    : highlighted(shortened(passage?.text ?? text, LONG), words);
  const body = el("p", { class: "text", dir: "auto" }, shown);
  return el("div", { class: "field" },
    el("div", { class: "field-name" }, name,
      passage && el("span", { class: "aside" },
        ` · found by characters ${passage.start.toLocaleString("en")}–${passage.end.toLocaleString("en")} of ${passage.length.toLocaleString("en")}`)),
    body,
    folded && unfolding(body, name, shown, () => highlighted(text, words)));
}

function unfolding(body, name, shown, whole) {
  const words = el("span", {}, "Show all");
  const button = el("button", { type: "button", class: "link", "aria-expanded": "false" }, words,
    el("span", { class: "visually-hidden" }, ` of ${name}`));
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") === "false";
    button.setAttribute("aria-expanded", String(open));
    words.textContent = open ? "Show less" : "Show all";
    body.classList.toggle("whole", open);
    body.replaceChildren(...(open ? whole() : shown));
  });
  return button;
}

function badges(hit) {
  const told = [];
  if (hit.vector_behind) told.push("Found by an earlier text: the new one has no vector yet");
  if (hit.without_vector) told.push("One of its texts has no vector: found by words");
  return told.length ? el("ul", { class: "badges" }, told.map((text) => el("li", {}, text))) : null;
}

function metadata(hit, severalIndexes, columns) {
  const kinds = new Map(columns.map(({ name, kind }) => [name, kind]));
  const rows = Object.entries(hit.metadata).filter(([, value]) => value !== null && value !== "");
  return el("dl", { class: "metadata" },
    severalIndexes && pair("index", hit.index),
    rows.map(([name, value]) => pair(name, valueOf(value, kinds.get(name)))),
    pair("key", el("code", {}, shortened(hit.key, 60))),
  );
}

const pair = (name, value) => el("div", {}, el("dt", {}, name), el("dd", { dir: "auto" }, value));

function valueOf(value, kind) {
  if (kind === "true or false") return ["1", "true"].includes(String(value)) ? "yes" : "no";
  const link = safeLink(value);
  if (!link) return shortened(String(value), 160);
  return el("a", { href: link.href, target: "_blank", rel: "noopener noreferrer", title: link.href },
    shortened(link.host + (link.pathname === "/" ? "" : decoded(link.pathname)) + link.search, 64),
    el("span", { class: "visually-hidden" }, " (opens in a new tab)"));
}

function decoded(path) {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

/** Bars of the scores that a hit has, and its place by each. */
function scores(hit, answer) {
  const found = [];
  const vectors = hit.vector_score !== null && hit.vector_score !== undefined;
  const words = hit.text_score !== null && hit.text_score !== undefined;
  if (answer.reranked) found.push(bar("relevance", hit.score, null));
  else if (vectors && words) found.push(bar("together", hit.score, null));
  if (vectors) found.push(bar("vectors", hit.vector_score, hit.vector_rank, answer.threshold));
  if (words) found.push(bar("words", hit.text_score, hit.text_rank));
  for (const [name, score] of Object.entries(hit.field_scores ?? {})) found.push(bar(name, score, null, null, "part"));
  return el("div", { class: "scores" }, found);
}

function bar(name, score, rank, threshold = null, extra = "") {
  const share = Math.min(1, Math.max(0, score));
  return el("div", { class: `score ${extra}` },
    el("span", { class: "score-name" }, name, rank ? el("span", { title: `${ordinal(rank)} by ${name}` }, ` #${rank}`) : null),
    el("span", { class: "score-value" }, score.toFixed(SCORE.digits)),
    el("span", { class: "bar", style: { "--share": share }, "aria-hidden": "true" },
      threshold !== null && threshold > 0 ? el("span", { class: "at", style: { "--at": threshold }, title: `threshold ${threshold}` }) : null));
}

function ordinal(number) {
  const rules = { one: "st", two: "nd", few: "rd", other: "th" };
  return `${number}${rules[new Intl.PluralRules("en", { type: "ordinal" }).select(number)]}`;
}

export function shortened(text, most) {
  if (text.length <= most) return text;
  const cut = text.slice(0, most);
  const space = cut.lastIndexOf(" ");
  return `${(space > most * 0.6 ? cut.slice(0, space) : cut).trimEnd()}…`;
}
