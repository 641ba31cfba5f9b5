// The latest lines of the log.

import { h, say, set } from "../dom.js";
import { count, date } from "../format.js";
import { ask } from "../live.js";
import { Table } from "../table.js";

/** The worst first. */
const LEVELS = ["error", "critical", "warning", "message", "info"];
const KEPT = 500;

export class Events {
  #level = h("select", { id: "level" }, ...LEVELS.toReversed().map((level) => h("option", { value: level }, level)));
  #filter = h("input", { type: "search", id: "text", autocomplete: "off", spellcheck: "false", placeholder: "text" });
  #count = h("p", { class: "count", role: "status" });
  #table = new Table({
    caption: "Events",
    key: ({ number }) => number,
    columns: [
      { label: "Time", class: "time", text: ({ at }) => date(at) },
      { label: "Level", class: "level", make: () => ({ element: h("span", { class: "tag" }) }), update: updateLevel },
      { label: "Text", class: "text", text: ({ text }) => text },
    ],
  });
  #events = [];
  #isAsking = false;

  constructor() {
    this.#level.addEventListener("change", () => this.#show());
    this.#filter.addEventListener("input", () => this.#show());
    this.element = h("div", { class: "events" },
      h("h2", {}, "Events"),
      h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
        h("label", {}, "Filter ", this.#filter), h("label", {}, "Down to level ", this.#level), this.#count),
      this.#table.element);
  }

  /** Asks where there is something new; a proxy that counts from less is another one. */
  async refresh({ latest_event: latest }) {
    const known = this.#events[0]?.number ?? 0;
    if (this.#isAsking || latest === known) return;
    this.#isAsking = true;
    try {
      const after = latest > known ? known : 0;
      const news = await ask(`/api/events?after=${after}`);
      this.#events = after === 0 ? news : [...news, ...this.#events].slice(0, KEPT);
      this.#show();
    } catch {
      // The connection's own notice says so.
    } finally {
      this.#isAsking = false;
    }
  }

  #show() {
    const least = LEVELS.indexOf(this.#level.value);
    const filter = this.#filter.value.trim().toLowerCase();
    const shown = this.#events.filter(({ level, text }) => LEVELS.indexOf(level) <= least && text.toLowerCase().includes(filter));
    say(this.#count, `${count(shown.length)} of the latest ${count(this.#events.length)}`);
    this.#table.show(shown, "Nothing of that kind happened.");
  }
}

function updateLevel({ element }, { level }) {
  say(element, level);
  set(element, "data-level", level);
}
