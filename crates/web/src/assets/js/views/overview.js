// The proxy as a whole, and each backend.

import { ceiling, Figure, logarithmic, Spark } from "../chart.js";
import { confirm, notify } from "../dialog.js";
import { h, say, set } from "../dom.js";
import { count, duration, latency, plural, rate } from "../format.js";
import { tell } from "../live.js";
import { Table } from "../table.js";

/** By availability, what can be done: word, label, what is asked. */
const ACTIONS = {
  up: ["Put back", ({ number, address }) => [`Put backend ${number} back?`,
    `New clients go to ${address} again, while it is up.`]],
  drain: ["Drain", ({ number, address, clients }) => [`Drain backend ${number}?`,
    `${address} takes no new clients. ${plural(clients, "client stays until it leaves", "clients stay until they leave")}; idle connections are closed.`]],
  down: ["Take out", ({ number, address, clients }) => [`Take backend ${number} out of service?`,
    `${address} takes no clients, and ${plural(clients, "client", "clients")} on it ${clients === 1 ? "is" : "are"} closed with an error.`]],
};
const POSSIBLE = { "in service": ["drain", "down"], draining: ["up", "down"], "out of service": ["up"] };

async function act(word, backend) {
  const [label, question] = ACTIONS[word];
  if (!(await confirm(...question(backend), label))) return;
  try {
    const { closed_sessions } = await tell(`/api/backends/${backend.number}/${word}`);
    const closed = closed_sessions > 0 ? ` ${plural(closed_sessions, "session was", "sessions were")} closed.` : "";
    notify(`${label}: backend ${backend.number}, done.${closed}`);
  } catch (error) {
    notify(`Backend ${backend.number}: ${error.message}`, true);
  }
}

/** What a backend's mark looks like, and what stands beside it. */
function condition(backend) {
  if (backend.availability !== "in service") return ["off", backend.availability];
  return [backend.state, backend.state];
}

export class Overview {
  #live;
  #latest = null;
  #queries = new Figure("queries", "Queries", "per second", ["line", "fill"]);
  #latency = new Figure("latency", "Response time", "", ["line", "line faint"]);
  #errors = new Figure("errors", "Errors", "per second", ["line bad", "fill bad"]);
  #sessions = new Figure("clients", "Clients", "", ["stack command", "stack idle", "stack login"]);
  #lines = new Map();
  #failed = h("p", { class: "footnote" });
  #backends = new Table({ caption: "Backends", key: (backend) => backend.number, columns: this.#columns() });

  constructor(live) {
    this.#live = live;
    this.element = h("div", { class: "overview" },
      h("h2", { class: "hidden" }, "Overview"),
      h("div", { class: "figures" }, this.#queries.element, this.#latency.element, this.#errors.element, this.#sessions.element),
      h("h2", {}, "Backends"),
      this.#backends.element,
      this.#failed);
  }

  #columns() {
    return [
      { label: "State", class: "state", make: makeState, update: updateState },
      { label: "Backend", class: "address", make: makeAddress, update: updateAddress },
      { label: "Role", text: ({ role }) => (role === "rw" ? "read/write" : "read-only") },
      { label: "Clients", class: "number", make: makeBar, update: (parts, backend) => this.#bar(parts, backend) },
      { label: "Answers/s", class: "number trend", make: makeTrend, update: (parts, backend) => this.#trend(parts, backend) },
      { label: "p50", class: "number", text: ({ p50_ms }) => latency(p50_ms) },
      { label: "p99", class: "number", text: ({ p99_ms }) => latency(p99_ms) },
      { label: "Errors/s", class: "number", text: ({ errors_per_second }) => rate(errors_per_second) },
      { label: "Pool", class: "pool", text: pool },
      { label: "Actions", class: "actions", make: () => ({ element: h("span", { class: "buttons" }), shown: "" }), update: updateActions },
    ];
  }

  #bar({ element, text, bar }, { clients }) {
    say(text, count(clients));
    const most = Math.max(1, ...this.#latest.backends.map((backend) => backend.clients));
    bar.style.inlineSize = `${(clients / most) * 100}%`;
    element.classList.toggle("none", clients === 0);
  }

  #trend({ text, spark }, { number, queries_per_second }) {
    say(text, rate(queries_per_second));
    spark.draw(this.#lines.get(number) ?? []);
  }

  refresh(overview) {
    this.#latest = overview;
    const samples = this.#live.samples;
    for (const { number } of overview.backends) {
      this.#lines.set(number, samples.map((sample) => sample.backends[number] ?? 0));
    }
    this.#draw(samples, overview);
    this.#backends.show(overview.backends, "There is no backend.");
    const failed = Object.entries(overview.failed_sessions).map(([reason, number]) => `${reason.replaceAll("_", " ")} ${count(number)}`);
    say(this.#failed, [
      `${count(overview.accepted)} clients were let in so far, ${count(overview.refused)} turned away.`,
      failed.length > 0 ? `Ends that were not a client's goodbye: ${failed.join(", ")}.` : "",
      overview.panicked > 0 ? `Faults of the proxy itself: ${overview.panicked}; the log has them, please report them.` : "",
    ].join(" "));
  }

  #draw(samples, overview) {
    const now = overview.sample;
    const of = (name) => samples.map((sample) => sample[name]);
    const minutes = "over the last minutes";

    const queries = of("queries_per_second");
    const most = ceiling(queries, 1);
    this.#queries.read(rate(now.queries_per_second), "per second", `peak ${rate(Math.max(0, ...queries))}`);
    this.#queries.filled(queries, most, rate(most), `Queries per second ${minutes}: now ${rate(now.queries_per_second)}`);

    const { low, high, lists } = logarithmic([of("p50_ms"), of("p99_ms")]);
    const [value, unit = ""] = latency(now.p50_ms).split(" ");
    this.#latency.read(value, unit, now.p50_ms === null ? "no answers" : `median; 99 of 100 within ${latency(now.p99_ms)}`);
    this.#latency.lines(lists, 1, `${latency(low)} to ${latency(high)}, logarithmic`,
      `Response time ${minutes}: half of the answers within ${latency(now.p50_ms)}, 99 of 100 within ${latency(now.p99_ms)}`);

    const errors = of("errors_per_second");
    const worst = ceiling(errors, 1);
    this.#errors.read(rate(now.errors_per_second), "per second", `peak ${rate(Math.max(0, ...errors))}`);
    this.#errors.filled(errors, worst, rate(worst), `Errors per second ${minutes}: now ${rate(now.errors_per_second)}`);

    const phases = [of("command"), of("idle"), of("login")];
    const fullest = ceiling(samples.map(({ command, idle, login }) => command + idle + login), 5);
    const words = `${count(now.command)} busy, ${count(now.idle)} idle${now.login > 0 ? `, ${count(now.login)} logging in` : ""}`;
    this.#sessions.read(count(overview.clients), "", words);
    this.#sessions.stack(phases, fullest, count(fullest), `Clients ${minutes}: now ${words}`);
  }
}

function makeState() {
  const [mark, word, why] = [h("span", { class: "mark", "aria-hidden": "true" }), h("span", { class: "word" }), h("small")];
  return { element: h("span", { class: "condition" }, mark, word, why), mark, word, why };
}

function updateState({ mark, word, why }, backend) {
  const [kind, text] = condition(backend);
  set(mark, "data-state", kind);
  say(word, text);
  const since = backend.down_seconds === null ? "" : `down for ${duration(backend.down_seconds)}: ${backend.reason}`;
  say(why, since);
}

function makeAddress() {
  const [number, address, resolved] = [h("span", { class: "ordinal" }), h("span"), h("small")];
  return { element: h("span", {}, number, " ", address, resolved), number, address, resolved };
}

function updateAddress(parts, { number, address, resolved, uuid }) {
  say(parts.number, `${number}`);
  say(parts.address, address);
  say(parts.resolved, [resolved === address ? null : resolved, uuid].filter(Boolean).join(" "));
}

function makeBar() {
  const [text, bar] = [h("span"), h("span", { class: "bar" })];
  return { element: h("span", { class: "gauge" }, text, h("span", { class: "groove", "aria-hidden": "true" }, bar)), text, bar };
}

function makeTrend() {
  const [text, spark] = [h("span"), new Spark()];
  return { element: h("span", { class: "trend" }, spark.element, text), text, spark };
}

function pool({ idle_connections, waiting_clients }) {
  const waiting = waiting_clients > 0 ? `, ${count(waiting_clients)} waiting` : "";
  return `${count(idle_connections)} idle${waiting}`;
}

function updateActions(parts, backend) {
  parts.backend = backend;
  if (parts.shown === backend.availability) return;
  parts.shown = backend.availability;
  const hadFocus = parts.element.contains(document.activeElement);
  const buttons = POSSIBLE[backend.availability].map((word) => {
    const label = `${ACTIONS[word][0]}: backend ${backend.number}`;
    return h("button", { type: "button", "aria-label": label, onclick: () => act(word, parts.backend) }, ACTIONS[word][0]);
  });
  parts.element.replaceChildren(...buttons);
  if (hadFocus) buttons[0]?.focus();
}
