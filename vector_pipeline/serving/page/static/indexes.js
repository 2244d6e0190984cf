// The indexes that there are: what they take, how they stand, and what was looked for in vain.

import { ask } from "./api.js";
import { ago, count, duration, el } from "./dom.js";

/** What the page needs to know of the indexes to search them. */
export async function describedIndexes(signal) {
  const { indexes } = await ask("v1/indexes", { signal });
  return indexes.map((index) => ({
    name: index.index,
    source: index.source,
    problems: index.problems,
    isServed: index.served !== null,
    fields: index.served?.fields ?? [],
    columns: index.served?.metadata ?? [],
    defaults: index.defaults,
  }));
}

/** Those that a search without an index is answered from: MySQL's catalog is not, beside indexes over rows. */
export function searchedTogether(indexes) {
  const overRows = indexes.filter(({ source }) => !source.is_catalog);
  return overRows.length ? overRows : indexes;
}

const GOOD_FOR = 30_000; // milliseconds

const path = (name, rest) => `v1/indexes/${encodeURIComponent(name)}/${rest}`;

/** How an index stands; `behind` says in a sentence what its table has that it hasn't, if anything. */
async function standingOf(name, signal = null) {
  const status = await ask(path(name, "status"), { signal });
  return { status, behind: behind(status.lag, name) };
}

const known = new Map();

/** The same, as it was half a minute ago at most: whoever moves the slider has not each move count documents. */
export function lastStandingOf(name) {
  const last = known.get(name);
  if (last && Date.now() - last.at < GOOD_FOR) return last.standing;
  const standing = standingOf(name);
  known.set(name, { at: Date.now(), standing });
  standing.catch(() => known.delete(name));
  return standing;
}

function behind(lag, name) {
  if (!lag.ranges) return "";
  const rows = lag.rows ? `at least ${count(lag.rows, "row", "rows")}` : count(lag.ranges, "key range", "key ranges");
  return `${name} is ${rows} behind its table, since ${duration(lag.seconds)}.`;
}

/** All indexes. `onChoose(name, query)` is called for one that somebody wants to search. */
export function overview(indexes, signal, onChoose) {
  if (!indexes.length) {
    return [el("p", { class: "intro" }, "There is no index to search yet. Declare one, or use a key that is for one.")];
  }
  return [
    el("h2", { class: "visually-hidden" }, "Indexes"),
    el("div", { class: "indexes" }, indexes.map((index) => card(index, signal, onChoose))),
  ];
}

const FACTS = ["documents", "coverage", "behind", "quarantine", "last sync", "model"];

function card(index, signal, onChoose) {
  const standing = el("span", { class: "standing" });
  const facts = el("dl", { class: "facts" });
  const tell = (level, words, told) => {
    standing.className = `standing ${level}`;
    standing.textContent = words;
    facts.replaceChildren(...fact("table", tableOf(index)), ...told);
  };
  if (index.problems.length) {
    tell("bad", "wrongly declared", index.problems.flatMap(({ field, problem, remedy }) => fact(field, `${problem}; ${remedy}`)));
  } else {
    tell("", "asking…", FACTS.flatMap((name) => fact(name, "…")));
    standingOf(index.name, signal).then(({ status }) => {
      const { level, words } = standingIn(status, index);
      tell(level, words, figures(status));
    }).catch((error) => {
      if (error.name !== "AbortError") tell("bad", "not known", fact("why", [error.message, error.remedy].filter(Boolean).join(" ")));
    });
  }
  return el("article", { class: "card" },
    el("div", { class: "card-head" }, el("h3", {}, index.name), standing),
    facts,
    unanswered(index.name, onChoose),
    el("div", {}, el("button", { type: "button", class: "small", onclick: () => onChoose(index.name) },
      "Search it", el("span", { class: "visually-hidden" }, `: ${index.name}`))));
}

function standingIn(status, index) {
  if (!index.isServed) return { level: "bad", words: "never synced" };
  if (status.lag.ranges) return { level: "behind", words: `${duration(status.lag.seconds)} behind` };
  if (status.quarantined) return { level: "behind", words: "in step, but for refused texts" };
  return { level: "", words: "in step" };
}

function figures(status) {
  const whole = Math.floor(status.coverage * 1000) / 10;
  return [
    ...fact("documents", status.documents.toLocaleString("en")),
    ...fact("coverage", `${whole} % of ${count(status.passages, "text", "texts")} have their vector`),
    ...fact("behind", status.lag.ranges
      ? `${status.lag.rows ? `at least ${count(status.lag.rows, "row", "rows")} in ` : ""}${count(status.lag.ranges, "key range", "key ranges")}`
      : "nothing"),
    ...fact("quarantine", status.quarantined ? count(status.quarantined, "refused text", "refused texts") : "empty"),
    ...fact("last sync", ago(status.last_synced_at)),
    ...fact("model", status.model ? `${status.model}, ${status.dimensions} dimensions` : "–"),
  ];
}

const tableOf = ({ source }) => `${source.database}.${source.table}`;
const fact = (name, value) => [el("dt", {}, name), el("dd", {}, value)];

/** Asked for when it is opened: it needs a key that may see it. */
function unanswered(name, onChoose) {
  const body = el("div", {});
  const details = el("details", {}, el("summary", {}, "Queries that found nothing"), body);
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const found = await ask(path(name, "unanswered?limit=20"));
      body.replaceChildren(...listed(found, name, onChoose));
    } catch (error) {
      body.replaceChildren(el("p", { class: "note" },
        error.kind === "key" ? "To see them takes a key with the scope admin." : error.message));
    }
  });
  return details;
}

function listed(found, name, onChoose) {
  if (!found.kept_days) {
    return [el("p", { class: "note" }, "They aren’t kept: VECTOR_PIPELINE_UNANSWERED_DAYS says for how long, and is not set.")];
  }
  if (!found.queries.length) {
    return [el("p", { class: "note" }, `None in ${count(found.kept_days, "day", "days")}.`)];
  }
  return [el("ul", { class: "unanswered" }, found.queries.map((one) => el("li", {},
    el("button", { type: "button", class: "link", dir: "auto", onclick: () => onChoose(name, one.query) }, one.query),
    el("span", { class: "note" }, `${one.times} ×, `, ago(one.last_asked_at))))),
  el("p", { class: "note" }, `Kept for ${count(found.kept_days, "day", "days")} after they were last asked.`)];
}
