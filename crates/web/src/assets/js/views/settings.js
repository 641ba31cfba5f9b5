// The options, and who set them.

import { h, say } from "../dom.js";
import { count } from "../format.js";
import { ask } from "../live.js";
import { Table } from "../table.js";

export class Settings {
  #filter = h("input", { type: "search", id: "name", autocomplete: "off", spellcheck: "false", placeholder: "name or value" });
  #given = h("input", { type: "checkbox", id: "given" });
  #count = h("p", { class: "count", role: "status" });
  #table = new Table({
    caption: "Settings",
    key: ({ name }) => name,
    columns: [
      { label: "Option", class: "address", text: ({ name }) => `--${name}` },
      { label: "Value", class: "text", text: ({ value, after_restart }) => `${value ?? "\u2013"}${after_restart ? `, after a restart ${after_restart}` : ""}` },
      { label: "Set by", make: () => ({ element: h("span", { class: "origin" }) }), update: ({ element }, { origin }, row) => {
        say(element, origin);
        row.classList.toggle("default", origin === "default");
      } },
    ],
  });
  #settings = [];
  #isAsking = false;

  constructor() {
    this.#filter.addEventListener("input", () => this.#show());
    this.#given.addEventListener("change", () => this.#show());
    this.element = h("div", { class: "settings" },
      h("h2", {}, "Settings"),
      h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
        h("label", {}, "Filter ", this.#filter), h("label", {}, this.#given, " without defaults"), this.#count),
      this.#table.element);
  }

  async refresh() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      this.#settings = await ask("/api/settings");
      this.#show();
    } catch {
      // The connection's own notice says so.
    } finally {
      this.#isAsking = false;
    }
  }

  #show() {
    const filter = this.#filter.value.trim().toLowerCase();
    const shown = this.#settings.filter(({ name, value, origin }) =>
      (!this.#given.checked || origin !== "default") && `--${name} ${value ?? ""}`.toLowerCase().includes(filter));
    say(this.#count, `${count(shown.length)} of ${count(this.#settings.length)}`);
    this.#table.show(shown, "No option is like that.");
  }
}
