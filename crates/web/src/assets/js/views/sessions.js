// Every client: who it is, where it is, what it does; and the end of one.

import { confirm, notify } from "../dialog.js";
import { h, say, set } from "../dom.js";
import { count, duration } from "../format.js";
import { ask, tell } from "../live.js";
import { Table } from "../table.js";

const DOING = { login: "logs in", idle: "waits" };

async function kill(session) {
  const who = session.user || "a client that is not logged in";
  const sure = await confirm(`Kill session ${session.id}?`, `${who} from ${session.client} is closed with an error; what it does is broken off.`, "Kill");
  if (!sure) return;
  try {
    await tell(`/api/sessions/${session.id}/kill`);
    notify(`Session ${session.id} is closed.`);
  } catch (error) {
    notify(`Session ${session.id}: ${error.message}`, true);
  }
}

export class Sessions {
  #filter = h("input", { type: "search", id: "filter", autocomplete: "off", spellcheck: "false", placeholder: "user, client, backend, command" });
  #phase = h("select", { id: "phase" },
    ...[["", "all"], ["command", "busy"], ["idle", "waiting"], ["login", "logging in"]].map(([value, text]) => h("option", { value }, text)));
  #count = h("p", { class: "count", role: "status" });
  #table;
  #isAsking = false;
  #isStale = false;

  constructor() {
    const renew = () => this.refresh();
    this.#filter.addEventListener("input", renew);
    this.#phase.addEventListener("change", renew);
    this.#table = new Table({ caption: "Sessions", key: (session) => session.id, columns: columns(), sorted: renew, sort: "id" });
    this.element = h("div", { class: "sessions" },
      h("h2", {}, "Sessions"),
      h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
        h("label", {}, "Filter ", this.#filter), h("label", {}, "Doing ", this.#phase), this.#count),
      this.#table.element);
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
        phase: this.#phase.value,
        sort: this.#table.sort,
        descending: this.#table.descending ? "1" : "0",
      });
      this.#show(await ask(`/api/sessions?${query}`));
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

  #show({ total, matching, sessions }) {
    const parts = [matching === total ? `${count(total)} in all` : `${count(matching)} of ${count(total)}`];
    if (sessions.length < matching) parts.push(`the first ${count(sessions.length)} are shown`);
    say(this.#count, parts.join(", "));
    this.#table.show(sessions, total === 0 ? "Nobody is connected." : "No session is like that.");
  }
}

function columns() {
  return [
    { label: "Id", sort: "id", class: "number", text: ({ id }) => `${id}` },
    { label: "User", sort: "user", class: "who", text: ({ user }) => user || "\u2013" },
    { label: "Client", sort: "client", class: "address", text: ({ client }) => client },
    { label: "Backend", sort: "backend", class: "address", text: ({ backend, backend_number }) => (backend ? `${backend_number} ${backend}` : "\u2013") },
    { label: "Chosen by", text: ({ chosen_by }) => chosen_by ?? "\u2013" },
    { label: "Doing", sort: "phase", class: "doing", make: makeDoing, update: updateDoing },
    { label: "Statement", class: "address", make: makeDigest, update: updateDigest },
    { label: "For", sort: "seconds", class: "number", text: ({ seconds }) => duration(seconds) },
    { label: "Age", sort: "age", class: "number", text: ({ age_seconds }) => duration(age_seconds) },
    { label: "Commands", sort: "commands", class: "number", text: ({ commands }) => count(commands) },
    { label: "Actions", class: "actions", make: makeKill, update: (parts, session) => { parts.session = session; } },
  ];
}

function makeDoing() {
  const [mark, word] = [h("span", { class: "mark", "aria-hidden": "true" }), h("span")];
  return { element: h("span", { class: "condition" }, mark, word), mark, word };
}

function updateDoing({ mark, word }, { phase, command }) {
  set(mark, "data-state", phase);
  say(word, command ?? DOING[phase]);
}

/** Leads to the digest's own row. */
function makeDigest() {
  return { element: h("a", {}) };
}

function updateDigest({ element }, { digest }) {
  say(element, digest ?? "");
  element.hidden = digest === null;
  set(element, "href", `#digests/${digest}`);
}

function makeKill(session) {
  const parts = {};
  parts.element = h("button", { type: "button", "aria-label": `Kill session ${session.id}`, onclick: () => kill(parts.session) }, "Kill");
  return parts;
}
