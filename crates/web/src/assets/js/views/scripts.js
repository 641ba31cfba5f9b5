// The versions of each script, with what went wrong in them.

import { h } from "../dom.js";
import { count, date, plural } from "../format.js";
import { ask } from "../live.js";
import { Table } from "../table.js";

export class Scripts {
  #table = new Table({
    caption: "Versions of scripts",
    key: ({ script, lua_state, version }) => `${lua_state} ${version} ${script}`,
    columns: [
      { label: "Script", class: "address", text: ({ script }) => script },
      { label: "Lua state", class: "number", text: ({ lua_state }) => `${lua_state}` },
      { label: "Version", class: "number", text: ({ version }) => `${version}` },
      { label: "Changed", class: "time", text: ({ modified }) => date(modified) },
      { label: "Loaded", class: "time", text: ({ loaded }) => date(loaded) },
      { label: "Bytes", class: "number", text: ({ bytes }) => count(bytes) },
      { label: "Connections", class: "number", text: ({ connections }) => count(connections) },
      { label: "Hooks", class: "trouble", text: hooks },
      { label: "Trouble", class: "trouble", text: trouble },
    ],
  });
  element = h("div", { class: "scripts" }, h("h2", {}, "Scripts"), this.#table.element);
  #isAsking = false;

  async refresh() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const versions = await ask("/api/scripts");
      this.#table.show(versions.toReversed(), "No script was loaded yet: that is done when the first client comes. --proxy-lua-script names it.");
    } catch {
      // The connection's own notice says so, and a hook that holds a state up ends.
    } finally {
      this.#isAsking = false;
    }
  }
}

function hooks({ hooks: all }) {
  const lines = Object.entries(all).map(([hook, { calls, milliseconds }]) =>
    `${hook} ${plural(calls, "call", "calls")}, ${count(milliseconds)} ms`);
  return lines.join("\n") || "\u2013";
}

function trouble({ fault, failures, hooks: all }) {
  const failed = Object.entries(all).filter(([, { errors }]) => errors > 0);
  const lines = failed.map(([hook, { errors }]) => `${hook}: ${plural(errors, "error", "errors")}`);
  const faults = fault ? [`${fault} (${plural(failures, "connection", "connections")})`] : [];
  return [...faults, ...lines].join("\n") || "none";
}
