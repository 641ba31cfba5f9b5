// What statements cost, by what they are without their literals.

import { confirm, notify, present } from "../dialog.js";
import { h, say } from "../dom.js";
import { count, date, latency, plural } from "../format.js";
import { ask, tell } from "../live.js";
import { Table } from "../table.js";

export class Digests {
  #filter = h("input", { type: "search", id: "digest-filter", autocomplete: "off", spellcheck: "false", placeholder: "statement, digest, user, database" });
  #count = h("p", { class: "count", role: "status" });
  #total = 0;
  #table;
  #isAsking = false;
  #isStale = false;

  constructor() {
    const renew = () => this.refresh();
    this.#filter.addEventListener("input", renew);
    this.#table = new Table({
      caption: "Digests",
      key: ({ digest, user, database }) => JSON.stringify([digest, user, database]),
      columns: this.#columns(),
      sorted: renew,
      sort: "total",
      descending: true,
    });
    this.element = h("div", { class: "digests" },
      h("h2", {}, "Digests"),
      h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
        h("label", {}, "Filter ", this.#filter),
        h("button", { type: "button", onclick: () => this.#reset() }, "Reset"),
        this.#count),
      this.#table.element);
  }

  /** Shows those with this text. */
  open(filter) {
    this.#filter.value = filter;
  }

  #columns() {
    return [
      { label: "Statement", sort: "statement", class: "statement", make: makeStatement, update: updateStatement },
      { label: "User", sort: "user", text: ({ user }) => user || "\u2013" },
      { label: "Database", sort: "database", text: ({ database }) => database || "\u2013" },
      { label: "Count", sort: "count", class: "number", text: (digest) => count(digest.count) },
      { label: "Errors", sort: "errors", class: "number", text: ({ errors }) => count(errors) },
      { label: "Rows", sort: "rows", class: "number", text: ({ rows }) => count(rows) },
      { label: "Average", sort: "average", class: "number", text: ({ average_ms }) => latency(average_ms) },
      { label: "Longest", sort: "max", class: "number", text: ({ max_ms }) => latency(max_ms) },
      { label: "Total", sort: "total", class: "number", make: makeShare, update: (parts, digest) => this.#share(parts, digest) },
    ];
  }

  #share({ text, bar }, { total_ms }) {
    say(text, latency(total_ms));
    bar.style.inlineSize = `${(total_ms / Math.max(this.#total, 1e-9)) * 100}%`;
  }

  async #reset() {
    const sure = await confirm("Reset the digests?", "What statements cost so far is forgotten, for everybody. They are counted from now on.", "Reset");
    if (!sure) return;
    try {
      await tell("/api/digests/reset");
      notify("Digests are counted from now on.");
      this.refresh();
    } catch (error) {
      notify(`Digests: ${error.message}`, true);
    }
  }

  /** One question at a time: the answer to the latest one is what is shown. */
  async refresh() {
    if (this.#isAsking) {
      this.#isStale = true;
      return;
    }
    this.#isAsking = true;
    try {
      const query = new URLSearchParams({
        filter: this.#filter.value.trim(),
        sort: this.#table.sort,
        descending: this.#table.descending ? "1" : "0",
      });
      this.#show(await ask(`/api/digests?${query}`));
    } catch {
      // The connection's own notice says so.
    } finally {
      this.#isAsking = false;
    }
    if (this.#isStale) {
      this.#isStale = false;
      this.refresh();
    }
  }

  #show({ is_on, total, total_ms, matching, digests }) {
    this.#total = total_ms;
    const parts = [matching === total ? plural(total, "digest", "digests") : `${count(matching)} of ${count(total)}`];
    if (digests.length < matching) parts.push(`the first ${count(digests.length)} are shown`);
    parts.push(`${latency(total_ms)} in all`);
    say(this.#count, parts.join(", "));
    const empty = total === 0 ? "No statement has had an answer yet." : "No digest is like that.";
    this.#table.show(digests, is_on ? empty : "Digests are switched off: --digest-limit is 0.");
  }
}

/** The statement is the button that shows all of it. */
function makeStatement() {
  const parts = {};
  parts.element = h("button", { type: "button", class: "plain", onclick: () => showDetails(parts.digest) });
  return parts;
}

function updateStatement(parts, digest) {
  parts.digest = digest;
  say(parts.element, digest.statement);
}

function showDetails(digest) {
  const facts = [
    ["Digest", digest.digest ?? "of several"],
    ["User", digest.user || "\u2013"],
    ["Database", digest.database || "\u2013"],
    ["Answers", `${count(digest.count)}, ${plural(digest.errors, "error", "errors")} among them, with ${plural(digest.rows, "row", "rows")}`],
    ["Time", `${latency(digest.total_ms)} in all; average ${latency(digest.average_ms)}, shortest ${latency(digest.min_ms)}, longest ${latency(digest.max_ms)}`],
    ["Seen", `${date(digest.first_seen)} to ${date(digest.last_seen)}`],
  ];
  const list = facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  present("Digest", h("div", {}, h("pre", { class: "changes whole", tabindex: "0" }, digest.statement), h("dl", {}, ...list)));
}

function makeShare() {
  const [text, bar] = [h("span"), h("span", { class: "bar" })];
  return { element: h("span", { class: "gauge" }, text, h("span", { class: "groove", "aria-hidden": "true" }, bar)), text, bar };
}
