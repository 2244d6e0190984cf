// What is looked for, as it stands in the address: to be shared, kept, and gone back to.

/** @typedef {{q: string, index: string, mode: string, threshold: number|null, limit: number|null, field: object|string|null,
 * conditions: {field: string, op: string, value: any}[], like: string, explain: boolean, view: string}} State */

const MODES = ["vector", "text", "hybrid"];

/** @returns {State} */
export function fromAddress(search = location.search) {
  const given = new URLSearchParams(search);
  return {
    q: given.get("q") ?? "",
    index: given.get("index") ?? "",
    mode: MODES.includes(given.get("mode")) ? given.get("mode") : "",
    threshold: number(given.get("threshold"), -1, 1),
    limit: number(given.get("limit"), 1, 1000),
    field: field(given.get("field")),
    conditions: given.getAll("filter").map(condition).filter(Boolean),
    like: given.get("like") ?? "",
    explain: given.get("explain") === "1",
    view: given.get("view") === "indexes" ? "indexes" : "",
  };
}

/** @param {State} state */
export function toAddress(state) {
  const written = new URLSearchParams();
  for (const name of ["q", "index", "mode", "like", "view"]) if (state[name]) written.set(name, state[name]);
  for (const name of ["threshold", "limit"]) if (state[name] !== null) written.set(name, String(state[name]));
  if (state.field) written.set("field", typeof state.field === "string" ? state.field : weights(state.field));
  for (const one of state.conditions) written.append("filter", JSON.stringify(one));
  if (state.explain) written.set("explain", "1");
  const text = written.toString();
  return text ? `?${text}` : location.pathname;
}

/** The body of a request to the API; what is left out is as the index declares it. */
export function toRequest(state) {
  const body = { explain: state.explain };
  if (state.threshold !== null) body.threshold = state.threshold;
  if (state.limit !== null) body.limit = state.limit;
  if (state.field && state.index) body.field = state.field;
  if (state.conditions.length && state.index) {
    body.filter = state.conditions.length === 1 ? state.conditions[0] : { and: state.conditions };
  }
  if (state.like) return { ...body, key: state.like };
  if (state.mode) body.mode = state.mode;
  if (state.index) body.index = state.index;
  return { ...body, query: state.q };
}

function number(text, least, most) {
  if (text === null || text.trim() === "") return null;
  const value = Number(text);
  return value >= least && value <= most ? value : null;
}

/** A name, or weights by name, written as question=0.7,answer=0.3 as on the command line. */
function field(text) {
  if (!text) return null;
  if (!text.includes("=")) return text;
  const found = {};
  for (const part of text.split(",")) {
    const at = part.lastIndexOf("=");
    const weight = Number(part.slice(at + 1));
    if (at < 1 || !(weight >= 0)) return null;
    found[part.slice(0, at)] = weight;
  }
  return found;
}

function weights(given) {
  return Object.entries(given).map(([name, weight]) => `${name}=${weight}`).join(",");
}

function condition(text) {
  try {
    const found = JSON.parse(text);
    return typeof found?.field === "string" && typeof found?.op === "string" ? found : null;
  } catch {
    return null;
  }
}
