// The versions of each script, with what went wrong in them.

import { notify, present } from "../dialog.js";
import { h, set } from "../dom.js";
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
      { label: "Actions", class: "actions", make: makeChanges, update: updateChanges },
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

function makeChanges() {
  const parts = {};
  parts.element = h("button", { type: "button", hidden: true, onclick: () => showChanges(parts.version) }, "Changes");
  return parts;
}

function updateChanges(parts, version) {
  parts.version = version;
  parts.element.hidden = !version.has_changes;
  set(parts.element, "aria-label", `Changes: version ${version.version} in Lua state ${version.lua_state}`);
}

const CHANGES = { "+": "added", "-": "removed", "@": "place" };

async function showChanges({ script, lua_state, version }) {
  try {
    const lines = await ask(`/api/scripts/changes?${new URLSearchParams({ script, lua_state, version })}`);
    const shown = lines.map((line) => h("span", { class: CHANGES[line[0]] }, `${line}\n`));
    present(`Version ${version}, and the one before`, h("pre", { class: "changes", tabindex: "0" }, ...shown));
  } catch (error) {
    notify(error.message, true);
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
