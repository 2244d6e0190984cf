// What a search may be told beside its query. What is left alone is as the index declares it.

import { Conditions } from "./conditions.js";
import { byId, count, el } from "./dom.js";
import { searchedTogether } from "./indexes.js";

const WEIGHTS = "=";

export class Options {
  /** `onChange(changed, {later})`: `later` where it may go on changing at once. */
  constructor(onChange) {
    this.onChange = onChange;
    this.index = null;
    this.conditions = new Conditions(byId("conditions"), () => this.changed({ conditions: this.conditions.written() }));
    byId("add-condition").addEventListener("click", () => this.conditions.add());
    byId("index").addEventListener("change", ({ target }) => this.choose(target.value));
    byId("mode").addEventListener("change", ({ target }) => this.changed({ mode: target.value }));
    byId("limit").addEventListener("change", ({ target }) => this.changed({ limit: Number(target.value) || null }));
    byId("field").addEventListener("change", ({ target }) => this.chooseField(target.value));
    byId("threshold").addEventListener("input", ({ target }) => this.setThreshold(Number(target.value), true));
    byId("threshold-number").addEventListener("change", ({ target }) => {
      const value = Number(target.value);
      if (target.value !== "" && value >= -1 && value <= 1) this.setThreshold(value, false);
      else this.showThreshold(this.state.threshold ?? this.index?.defaults.threshold ?? 0.7, this.state.threshold !== null);
    });
    byId("threshold-reset").addEventListener("click", () => {
      this.changed({ threshold: null });
      byId("threshold").focus();
    });
  }

  /** Shows a state; `indexes` are those that there are. */
  show(state, indexes) {
    this.state = { ...state };
    byId("options").hidden = false;
    this.indexes = indexes;
    this.index = indexes.find(({ name }) => name === state.index) ?? null;
    const all = searchedTogether(indexes).length;
    byId("index").replaceChildren(
      all > 1 ? el("option", { value: "" }, `all indexes (${all})`) : "",
      ...indexes.map(({ name }) => el("option", { value: name }, name)),
      state.index && !this.index ? el("option", { value: state.index }, state.index) : "");
    byId("index").value = state.index;
    byId("index-told").textContent = this.index ? `of the table ${this.index.source.table}` : "";
    byId("mode").value = state.mode;
    this.showLimit(state.limit);
    this.showFields(state.field);
    this.showDeclared();
    byId("mode").disabled = Boolean(state.like);
    this.showThreshold(state.threshold ?? this.index?.defaults.threshold ?? 0.7, state.threshold !== null);
    const columns = this.index?.columns ?? [];
    this.conditions.show(columns, state.conditions);
    byId("add-condition").hidden = !columns.length;
    byId("filters-told").textContent = !this.index
      ? "Choose one index to filter by its columns."
      : columns.length ? "" : "This index has no metadata to filter by.";
    this.summarise();
  }

  /** Names what holds where nothing is chosen. */
  showDeclared() {
    const declared = this.index?.defaults;
    const words = { vector: "meaning", text: "words", hybrid: "meaning and words" };
    byId("mode").options[0].textContent = declared ? `as declared (${words[declared.mode]})` : "as declared";
    byId("limit").options[0].textContent = declared ? `as declared (${declared.limit})` : "as declared";
  }

  /** Shows what held in an answer where nothing was asked for; not to somebody who is about to choose. */
  tell(answer) {
    if (this.state.threshold !== null || answer.threshold === null) return;
    if (!byId("threshold-option").contains(document.activeElement)) this.showThreshold(answer.threshold, false);
  }

  changed(changed, { later = false } = {}) {
    Object.assign(this.state, changed);
    byId("threshold-reset").hidden = this.state.threshold === null;
    if (changed.threshold === null) this.showThreshold(this.index?.defaults.threshold ?? 0.7, false);
    this.summarise();
    this.onChange(changed, { later });
  }

  choose(index) {
    const changed = { index, field: null, conditions: [], like: "" };
    this.show({ ...this.state, ...changed }, this.indexes);
    this.changed(changed);
  }

  chooseField(value) {
    const weighted = value === WEIGHTS;
    const names = this.index?.fields ?? [];
    this.showFields(weighted ? Object.fromEntries(names.map((name) => [name, 1])) : value || null);
    this.changed({ field: weighted ? this.weights() : value || null });
  }

  showFields(field) {
    const names = this.index?.fields ?? [];
    const weighted = field !== null && typeof field === "object";
    byId("field").disabled = !this.index;
    byId("field").replaceChildren(
      el("option", { value: "" }, "as declared"),
      names.length > 1 ? el("option", { value: "best" }, "the best of all") : "",
      ...names.map((name) => el("option", { value: name }, name)),
      names.length > 1 ? el("option", { value: WEIGHTS }, "weights…") : "");
    byId("field").value = weighted ? WEIGHTS : (field ?? "");
    byId("weights").hidden = !weighted;
    byId("weights").replaceChildren(...(weighted ? names.map((name) => el("label", {}, name,
      el("input", { type: "number", min: "0", max: "1", step: "0.1", value: String(field[name] ?? 0), name,
        onchange: () => this.changed({ field: this.weights() }) }))) : []));
  }

  weights() {
    const inputs = [...byId("weights").querySelectorAll("input")];
    return Object.fromEntries(inputs.map((input) => [input.name, Math.max(0, Number(input.value) || 0)]));
  }

  showLimit(limit) {
    const select = byId("limit");
    select.querySelector("[data-other]")?.remove();
    if (limit !== null && ![...select.options].some(({ value }) => Number(value) === limit)) {
      select.append(el("option", { "data-other": "" }, String(limit)));
    }
    select.value = limit === null ? "" : String(limit);
  }

  setThreshold(value, later) {
    this.showThreshold(value, true);
    this.changed({ threshold: value }, { later });
  }

  /** Where several indexes each have their own there is no number to show. */
  showThreshold(value, isChosen) {
    const isKnown = isChosen || this.index !== null;
    byId("threshold").value = String(value);
    byId("threshold-number").value = isKnown ? value.toFixed(2) : "";
    byId("threshold-told").textContent = isKnown ? "Hits by vectors score above it." : "Each index has its own.";
    byId("threshold-reset").hidden = !isChosen;
  }

  /** What is chosen, for those who see the options folded. */
  summarise() {
    const { state } = this;
    const told = [state.index, { vector: "vectors", text: "words", hybrid: "both" }[state.mode],
      state.threshold !== null && `above ${state.threshold.toFixed(2)}`,
      state.conditions.length && count(state.conditions.length, "filter", "filters")];
    byId("options-told").textContent = told.filter(Boolean).join(" · ");
  }
}
