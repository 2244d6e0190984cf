// The page: what is typed and chosen becomes a state, the state an address and a request, the answer what is seen.

import { ApiError, ask, hasKey, useKey } from "./api.js";
import { answerView, summary } from "./answer.js";
import { byId, el } from "./dom.js";
import { titleOf } from "./hits.js";
import { describedIndexes, lastStandingOf, overview, searchedTogether } from "./indexes.js";
import { Options } from "./options.js";
import { problemView } from "./problem.js";
import { fromAddress, toAddress, toRequest } from "./state.js";

const PATIENCE = 250; // milliseconds after the last move of the slider
const SLOW = 120; // milliseconds until it is shown that something is under way

let state = fromAddress();
let running = null;
let soon = null;
let indexes = null;

const options = new Options((changed, { later }) => {
  Object.assign(state, changed);
  if (!state.q && !state.like) return remember(false);
  clearTimeout(soon);
  soon = setTimeout(() => search({ push: false }), later ? PATIENCE : 0);
});

/** Puts the state into the address: as a new entry of the history, or in place of this one. */
function remember(push, told = history.state) {
  const address = toAddress(state);
  if (push && address !== `${location.search}`) history.pushState(told, "", address);
  else history.replaceState(told, "", address);
}

/** What is asked is shown; a request that is still running is given up for it. */
async function search({ push = true, title = null, focus = false } = {}) {
  clearTimeout(soon);
  state.q = byId("query").value.trim();
  if (state.view) state.view = "";
  remember(push, title ? { title } : push ? null : history.state);
  await show({ focus });
}

/** Shows what the state says. */
async function show({ focus = false } = {}) {
  running?.abort();
  const mine = running = new AbortController();
  const slow = setTimeout(() => busy(true), SLOW);
  document.title = state.like ? `Like ${state.like} – vector-pipeline` : state.q ? `${state.q} – vector-pipeline` : "Search – vector-pipeline";
  const looksAtIndexes = state.view === "indexes" || (!state.q && !state.like);
  if (state.view === "indexes") byId("to-indexes").setAttribute("aria-current", "page");
  else byId("to-indexes").removeAttribute("aria-current");
  try {
    if (looksAtIndexes) await showIndexes(mine.signal);
    else await showAnswer(mine.signal);
    byId("problem").replaceChildren();
    if (focus) byId("results").focus({ preventScroll: true });
  } catch (error) {
    if (error.name === "AbortError" || mine.signal.aborted) return;
    showProblem(error);
  } finally {
    clearTimeout(slow);
    if (running === mine) {
      running = null;
      busy(false);
    }
  }
}

function answerTo(asked, signal) {
  const path = asked.like ? `v1/indexes/${encodeURIComponent(asked.index)}/similar` : "v1/search";
  return ask(path, { body: toRequest(asked), signal });
}

async function showAnswer(signal) {
  await knowIndexes(signal);
  const asked = { ...state };
  const [answer, title] = await Promise.all([answerTo(asked, signal), likeWhat(signal)]);
  options.tell(answer);
  byId("told").textContent = summary(answer, asked);
  byId("answer").replaceChildren(...like(title), ...answerView(answer, asked, {
    columnsOf: (index) => indexes.find(({ name }) => name === index)?.columns ?? [],
    onSimilar: more,
    onExplain: explain,
    onLoosen: (changed) => {
      Object.assign(state, changed);
      options.show(state, indexes);
      search();
    },
  }));
  tellStanding(signal);
}

/** How far the index is behind its table, added to what is told once it is known; never in the way of the answer. */
async function tellStanding(signal) {
  if (!state.index) return;
  try {
    const standing = await lastStandingOf(state.index);
    if (!signal.aborted && standing.behind) {
      const told = el("p", { class: "callout behind" }, standing.behind);
      byId("answer").querySelector(".behind")?.remove();
      byId("answer").prepend(told);
    }
  } catch {
    // A key may search and not see this.
  }
}

/** The beginning of the document that others like it are looked for; null where it can't be told. */
async function likeWhat(signal) {
  if (!state.like || history.state?.title) return history.state?.title ?? null;
  try {
    return titleOf(await ask(`v1/indexes/${encodeURIComponent(state.index)}/documents/${encodeURIComponent(state.like)}`, { signal }));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null;
  }
}

function like(title) {
  if (!state.like) return [];
  return [el("div", { class: "like" },
    el("span", {}, "Documents like ", el("strong", { dir: "auto" }, title ?? `the one with key ${state.like}`)),
    el("button", { type: "button", class: "link", onclick: () => {
      state.like = "";
      search({ focus: true });
    } }, state.q ? "Back to the query" : "Back"))];
}

function more(hit) {
  state.like = hit.key;
  state.index = hit.index;
  options.show(state, indexes);
  search({ title: titleOf(hit), focus: true });
  scrollTo({ top: 0 });
}

/** Remembers whether the SQL is to be seen; gives the answer with it. */
async function explain(open) {
  state.explain = open;
  remember(false);
  return open ? answerTo(state, null) : null;
}

async function knowIndexes(signal) {
  if (indexes !== null) return;
  indexes = await describedIndexes(signal);
  const all = searchedTogether(indexes);
  if (all.length === 1 && !state.index) state.index = all[0].name;
  options.show(state, indexes);
}

async function showIndexes(signal) {
  indexes = null;
  await knowIndexes(signal);
  byId("told").textContent = "";
  byId("answer").replaceChildren(...overview(indexes, signal, (index, query) => {
    state = { ...state, index, q: query ?? state.q, view: "", like: "" };
    byId("query").value = state.q;
    options.show(state, indexes);
    if (state.q) search();
    else byId("query").focus();
  }));
}

function busy(is) {
  byId("results").setAttribute("aria-busy", String(is));
  byId("working").hidden = !is;
}

function showProblem(error) {
  if (!(error instanceof ApiError)) {
    console.error(error);
    error = new ApiError("fault", "This page has failed.", "Load it again; if it stays, tell whoever runs this server.");
  }
  byId("told").textContent = "";
  byId("answer").replaceChildren();
  byId("problem").replaceChildren(problemView(error, () => show()));
  if (error.kind === "key") openKeyForm();
}

/* Keys to the API */

function openKeyForm() {
  byId("key-form").hidden = false;
  byId("key-button").setAttribute("aria-expanded", "true");
  byId("forget-key").hidden = !hasKey();
  byId("key").focus();
}

function closeKeyForm() {
  byId("key-form").hidden = true;
  byId("key-button").setAttribute("aria-expanded", "false");
  byId("key").value = "";
}

byId("key-button").addEventListener("click", () => (byId("key-form").hidden ? openKeyForm() : closeKeyForm()));
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  changeKey(byId("key").value);
});
byId("forget-key").addEventListener("click", () => changeKey(""));

function changeKey(given) {
  useKey(given);
  closeKeyForm();
  indexes = null;
  byId("query").focus();
  show();
}

/* Colours */

const THEMES = { "": "Auto", light: "Light", dark: "Dark" };

function showTheme() {
  byId("theme-name").textContent = THEMES[document.documentElement.dataset.theme ?? ""];
}

byId("theme-button").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "") + 1) % names.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("theme", next);
  } catch {
    // It holds as long as the page is open.
  }
  showTheme();
});

/* The keyboard */

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const writing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !writing) {
    event.preventDefault();
    byId("query").focus();
    byId("query").select();
  } else if (event.key === "Escape") {
    escape(event);
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!writing || event.target.id === "query") step(event);
  }
});

/** Gives up what is running; else closes what is open; else goes to the query. In the query, it is the browser's. */
function escape(event) {
  if (running !== null) {
    running.abort();
    byId("told").textContent = "Given up.";
    event.preventDefault();
  } else if (!byId("key-form").hidden) {
    closeKeyForm();
    byId("key-button").focus();
  } else if (event.target.id !== "query" && !event.target.closest("select")) {
    byId("query").focus();
  }
}

/** To the hit below or above; from the first one up to the query. */
function step(event) {
  const hits = [...document.querySelectorAll(".hit")];
  const here = hits.indexOf(event.target.closest(".hit"));
  const next = here + (event.key === "ArrowDown" ? 1 : -1);
  if (here < 0 && event.target.id !== "query") return;
  if (here < 0 && event.key === "ArrowUp") return;
  if (next < 0) byId("query").focus();
  else if (next < hits.length) hits[next].focus();
  else return;
  event.preventDefault();
}

/* Beginning */

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  state.like = "";
  search();
});
addEventListener("popstate", () => {
  state = fromAddress();
  restore();
});
for (const [id, view] of [["home", ""], ["to-indexes", "indexes"]]) {
  byId(id).addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    state = view ? { ...state, view, like: "" } : fromAddress("");
    remember(true, null);
    restore();
    if (!view) byId("query").focus();
  });
}

function restore() {
  byId("query").value = state.q;
  if (indexes !== null) options.show(state, indexes);
  show();
}

const wide = matchMedia("(min-width: 60rem)");
const unfold = () => { byId("options").open = wide.matches; };
wide.addEventListener("change", unfold);
unfold();
showTheme();
// On a phone it would bring up the keyboard.
if (!state.q && !state.like && matchMedia("(pointer: fine)").matches) byId("query").focus();
restore();
