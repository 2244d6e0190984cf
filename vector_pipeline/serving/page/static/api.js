// Asking the API, and saying in words what went wrong.

const KEY = "vector-pipeline key";

/** What went wrong, and what can be done about it. `kind`: key, later, request, offline, fault. */
export class ApiError extends Error {
  constructor(kind, title, remedy = "", { reference = null, wait = null, details = [] } = {}) {
    super(title);
    Object.assign(this, { kind, remedy, reference, wait, details });
  }
}

let key = stored();

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

export const hasKey = () => key !== "";

/** Keeps a key until the tab is closed; an empty one forgets it. */
export function useKey(given) {
  key = given.trim();
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // It is used as long as the page is open.
  }
}

/** The answer to a request, as JSON. Raises an ApiError, or an AbortError where `signal` ends it. */
export async function ask(path, { body = null, signal = null } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== null) headers["Content-Type"] = "application/json";
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(path, {
      method: body === null ? "GET" : "POST",
      headers,
      body: body === null ? null : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("offline", "The server can’t be reached.", "Is it running, and are you on its network?");
  }
  const said = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (!response.ok) throw problem(response, said);
  return said;
}

function problem(response, said) {
  const told = typeof said?.detail === "string" ? said.detail : "";
  const reference = said?.reference ?? response.headers.get("x-request-id");
  switch (response.status) {
    case 401:
      return key
        ? new ApiError("key", "This API key isn’t taken.", sentence(told) || "It may be revoked or expired.")
        : new ApiError("key", "An API key is needed.", "Whoever runs this server makes one with: vector-pipeline keys create NAME");
    case 403:
      return new ApiError("key", "This isn’t allowed.", sentence(told));
    case 404:
      return new ApiError("request", "This isn’t here.", sentence(told));
    case 422:
      return new ApiError("request", "This can’t be searched for.", "", { details: details(said) });
    case 413:
      return new ApiError("request", "This is too long.", sentence(told));
    case 429:
      return new ApiError("later", "Too many requests.", "", { wait: Number(response.headers.get("retry-after")) || 5 });
    case 503:
    case 504:
      return new ApiError("fault", sentence(told) || "The service is unavailable.", advice(told), { reference });
    default:
      return new ApiError("fault", `The server failed (${response.status}).`, "That is a fault of the server.", { reference });
  }
}

function advice(told) {
  if (told.startsWith("Embedding")) return "The model that reads queries doesn’t answer. A search by words needs none.";
  if (told.startsWith("MySQL")) return "The source database doesn’t answer. Search itself doesn’t need it.";
  if (told.startsWith("Database")) return "The vector database doesn’t answer, or the index was never synced.";
  return "Try again in a moment.";
}

function details(said) {
  if (!Array.isArray(said?.detail)) return [sentence(String(said?.detail ?? ""))];
  return said.detail.map(({ loc = [], msg }) => {
    const where = loc.filter((part) => part !== "body").join(".");
    return sentence(where ? `${where}: ${msg}` : msg);
  });
}

function sentence(text) {
  if (!text) return "";
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
