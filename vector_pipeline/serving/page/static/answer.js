// An answer: what it says of itself, its hits, and on request its timings and SQL.

import { count, duration, el } from "./dom.js";
import { hitList } from "./hits.js";

const MODES = { vector: "by vectors", text: "by words", hybrid: "by vectors and words" };

/** The sentence that is shown above the hits, and read out. */
export function summary(answer, state) {
  const found = answer.hits.length ? count(answer.hits.length, "document", "documents") : "Nothing found";
  const where = answer.index ? `in ${answer.index}` : `in ${count(answer.indexes.length, "index", "indexes")}`;
  const parts = [`${found} ${where}`];
  if (answer.mode && !state.like) parts.push(MODES[answer.mode]);
  if (answer.mode !== "text" && answer.threshold !== null) parts.push(`above ${answer.threshold.toFixed(2)}`);
  if (answer.filtered) parts.push("filtered");
  if (answer.reranked) parts.push("ordered by a reranker");
  parts.push(duration(answer.seconds));
  return parts.join(" · ");
}

/** All of an answer as nodes. */
export function answerView(answer, state, { columnsOf, onSimilar, onExplain, onLoosen }) {
  return [
    notes(answer),
    answer.hits.length
      ? hitList(answer, { columnsOf, onSimilar, severalIndexes: answer.index === null })
      : nothing(answer, state, onLoosen),
    explanation(answer, state, onExplain),
  ].filter(Boolean);
}

function notes(answer) {
  const told = [...answer.notes];
  if (!answer.complete) told.unshift("The time was over before all of the best hits were surely found.");
  for (const failure of answer.failures) told.push(`${failure.index} gave no answer: ${failure.reason}`);
  if (answer.merged_by === "rank") {
    told.push("Scores of different models, or ways of searching, can’t be compared: the hits are merged by their places.");
  }
  return told.length ? el("ul", { class: "callout" }, told.map((text) => el("li", {}, text))) : null;
}

function nothing(answer, state, onLoosen) {
  const advice = [];
  if (answer.mode !== "text" && answer.threshold !== null && answer.threshold > 0) {
    const lower = Math.max(0, Math.round((answer.threshold - 0.2) * 100) / 100);
    advice.push(el("button", { type: "button", onclick: () => onLoosen({ threshold: lower }) },
      `Lower the threshold to ${lower.toFixed(2)}`));
  }
  if (!state.like && answer.mode === "vector") {
    advice.push(el("button", { type: "button", onclick: () => onLoosen({ mode: "hybrid" }) }, "Search by words as well"));
  }
  if (answer.filtered) {
    advice.push(el("button", { type: "button", onclick: () => onLoosen({ conditions: [] }) }, "Remove the filters"));
  }
  return el("div", { class: "nothing" },
    el("h2", {}, "Nothing found"),
    el("p", {}, answer.mode === "text"
      ? "No document has one of these words."
      : answer.threshold !== null
        ? `No document scores above ${answer.threshold.toFixed(2)}.`
        : "No document scores above the threshold of its index."),
    advice.length ? el("div", { class: "actions" }, advice) : null);
}

/** Timings are in every answer. The SQL isn't: `onExplain(open)` gives an answer that has it. */
function explanation(answer, state, onExplain) {
  const body = el("div", { class: "explained" });
  const details = el("details", { class: "explanation", open: state.explain }, el("summary", {}, "SQL and timings"), body);
  const fill = (told, ...rest) => body.replaceChildren(...timings(told), ...rest);
  if (answer.explanation) fill(answer, ...statements(answer.explanation));
  let wasOpen = state.explain;
  details.addEventListener("toggle", async () => {
    if (details.open === wasOpen) return;
    wasOpen = details.open;
    const asked = onExplain(details.open);
    if (!details.open || answer.explanation) return;
    fill(answer, el("p", { class: "note" }, "Asking for the SQL…"));
    try {
      answer = await asked;
      fill(answer, ...statements(answer.explanation));
    } catch (error) {
      fill(answer, el("p", { class: "note" }, `The SQL can’t be told. ${error.message}`));
    }
  });
  return details;
}

const PARTS = [["embedding", "embedding the query"], ["database", "PostgreSQL"], ["reranking", "reranking"]];

function timings(answer) {
  return answer.timings.map((timing) => {
    const parts = PARTS.filter(([name]) => timing[name] > 0);
    return el("div", { class: "timing" },
      el("p", {}, el("strong", {}, timing.index), ` ${duration(timing.seconds)}`),
      el("div", { class: "timing-bar", "aria-hidden": "true" },
        parts.map(([name]) => el("span", { class: name, style: { "--share": timing[name] / timing.seconds } }))),
      el("ul", { class: "legend" }, parts.map(([name, words]) =>
        el("li", {}, el("span", { class: `swatch ${name}`, "aria-hidden": "true" }), `${words} ${duration(timing[name])}`))));
  });
}

function statements(explanation) {
  return explanation.flatMap(({ index, statements: run }) => run.map((statement, place) => {
    const code = unindented(statement);
    const copy = el("button", { type: "button", class: "small", onclick: async () => {
      await navigator.clipboard?.writeText(code);
      copy.textContent = "Copied";
    } }, "Copy");
    return el("figure", { class: "sql" },
      el("figcaption", {}, `${index}, statement ${place + 1} of ${run.length}`, copy),
      el("pre", { tabIndex: 0, "aria-label": `SQL statement ${place + 1}` }, el("code", {}, code)));
  }));
}

function unindented(statement) {
  const lines = statement.replace(/\s+$/, "").split("\n");
  while (lines.length && !lines[0].trim()) lines.shift();
  const depth = Math.min(...lines.filter((line) => line.trim()).map((line) => line.match(/^ */)[0].length));
  return lines.map((line) => line.slice(depth)).join("\n");
}
