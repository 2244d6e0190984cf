// Conditions on metadata: rows of column, comparison and value.

import { el } from "./dom.js";

const WORDS = {
  "=": "is", "!=": "is not", "in": "is one of", "prefix": "begins with", "between": "between",
  ">=": "from", "<=": "up to", ">": "above", "<": "below", "null": "has no value", "any": "has a value",
};
const OF_TIME = { "=": "is on", "!=": "is not on", "<=": "until", ">": "after", "<": "before" };
const FIRST_OF_TIME = [">=", "<=", "between"];
const TYPES = { "number": "number", "date": "date", "date and time": "date" };

/** Rows of conditions in `container`, over columns `{name, kind, operators}`. `onChange` is called when what they say has changed. */
export class Conditions {
  constructor(container, onChange) {
    this.container = container;
    this.onChange = onChange;
    this.columns = [];
    this.rows = [];
  }

  /** Shows conditions as they stand in the address. Those on columns that aren't there are left out. */
  show(columns, conditions) {
    this.columns = columns;
    this.rows = conditions.filter((one) => columns.some((column) => column.name === one.field)).map(read);
    this.draw();
  }

  add() {
    const [column] = this.columns;
    if (!column) return;
    this.rows.push({ field: column.name, op: comparisons(column)[0][0], values: ["", ""] });
    this.draw();
    this.container.lastElementChild.querySelector("select").focus();
  }

  /** Those that are complete, as the API takes them. */
  written() {
    return this.rows.map(write).filter(Boolean);
  }

  draw() {
    this.container.replaceChildren(...this.rows.map((row, place) => this.drawn(row, place)));
  }

  drawn(row, place) {
    const column = this.columns.find(({ name }) => name === row.field) ?? this.columns[0];
    const known = comparisons(column);
    if (!known.some(([op]) => op === row.op)) row.op = known[0][0];
    const number = place + 1;
    return el("div", { class: "condition" },
      el("select", { "aria-label": `Column of filter ${number}`, onchange: ({ target }) => {
        Object.assign(row, { field: target.value, values: ["", ""] });
        this.redraw(place, "select");
      } }, this.columns.map(({ name }) => el("option", { value: name, selected: name === row.field }, name))),
      el("select", { "aria-label": `Comparison of filter ${number}`, onchange: ({ target }) => {
        row.op = target.value;
        this.redraw(place, "select:nth-of-type(2)");
      } }, known.map(([op, words]) => el("option", { value: op, selected: op === row.op }, words))),
      el("button", { type: "button", class: "quiet remove", "aria-label": `Remove filter ${number}`, onclick: () => {
        this.rows.splice(place, 1);
        this.draw();
        this.onChange();
        document.getElementById("add-condition").focus();
      } }, "×"),
      el("div", { class: "values" }, this.inputs(row, column, number)));
  }

  redraw(place, focused) {
    this.draw();
    this.container.children[place].querySelector(focused).focus();
    this.onChange();
  }

  inputs(row, column, number) {
    if (row.op === "null" || row.op === "any") return [];
    const set = (at) => ({ target }) => {
      row.values[at] = target.value;
      this.onChange();
    };
    if (column.kind === "true or false") {
      return [el("select", { "aria-label": `Value of filter ${number}`, onchange: set(0) },
        [["", "…"], ["true", "true"], ["false", "false"]].map(([value, words]) =>
          el("option", { value, selected: value === row.values[0] }, words)))];
    }
    const type = row.op === "in" ? "text" : TYPES[column.kind] ?? "text";
    const input = (at, label, placeholder = "") => el("input", {
      type, step: type === "number" ? "any" : null, value: row.values[at], placeholder, "aria-label": label, onchange: set(at),
    });
    if (row.op === "between") {
      return [input(0, `Lowest value of filter ${number}`), el("span", { class: "note" }, "and"),
        input(1, `Highest value of filter ${number}`)];
    }
    return [input(0, `Value of filter ${number}`, row.op === "in" ? "one, another" : "")];
  }
}

/** What a column takes, in words, the likeliest first. */
function comparisons({ kind, operators }) {
  const ofTime = kind.startsWith("date");
  const signs = operators.flatMap((sign) => {
    if (sign === "is_null") return ["null", "any"];
    return kind === "true or false" ? [sign].filter((one) => one === "=") : ofTime && sign === "in" ? [] : [sign];
  });
  const ordered = ofTime ? [...FIRST_OF_TIME.filter((sign) => signs.includes(sign)),
    ...signs.filter((sign) => !FIRST_OF_TIME.includes(sign))] : signs;
  return ordered.map((sign) => [sign, (ofTime && OF_TIME[sign]) || WORDS[sign] || sign]);
}

function read({ field, op, value }) {
  if (op === "is_null") return { field, op: value === false ? "any" : "null", values: ["", ""] };
  if (op === "in") return { field, op, values: [[value].flat().join(", "), ""] };
  const [low, high = ""] = [value].flat().map(String);
  return { field, op, values: [low ?? "", high] };
}

// Numbers go as texts, which the API takes, since JavaScript can't hold all that MySQL can.
function write({ field, op, values: [low, high] }) {
  if (op === "null" || op === "any") return { field, op: "is_null", value: op === "null" };
  if (op === "in") {
    const several = low.split(",").map((one) => one.trim()).filter(Boolean);
    return several.length ? { field, op, value: several } : null;
  }
  if (op === "between") return low !== "" && high !== "" ? { field, op, value: [low, high] } : null;
  return low === "" ? null : { field, op, value: low };
}
