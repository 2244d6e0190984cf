// What went wrong, in words, with what can be done about it.

import { el } from "./dom.js";

/** `retry` asks again. */
export function problemView(error, retry) {
  return el("div", { class: "problem" },
    el("h2", {}, error.message),
    error.remedy && el("p", {}, error.remedy),
    error.details.length ? el("ul", {}, error.details.map((one) => el("li", {}, one))) : null,
    error.reference && el("p", {}, "Reference ", el("code", {}, error.reference),
      ": under it the server’s log has the rest."),
    error.kind === "later" && waiting(error.wait, retry),
    (error.kind === "fault" || error.kind === "offline") && el("button", { type: "button", onclick: retry }, "Try again"));
}

/** Counts down, and then lets it be tried again. */
function waiting(seconds, retry) {
  const button = el("button", { type: "button", onclick: retry });
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left > 0) setTimeout(tick, 250);
  };
  tick();
  return button;
}
