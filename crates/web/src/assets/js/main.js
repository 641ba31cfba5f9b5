// The page: which view is shown, and what all of them share.

import { say } from "./dom.js";
import { clock, duration } from "./format.js";
import { Live } from "./live.js";
import { Digests } from "./views/digests.js";
import { Events } from "./views/events.js";
import { Overview } from "./views/overview.js";
import { Scripts } from "./views/scripts.js";
import { Sessions } from "./views/sessions.js";
import { Settings } from "./views/settings.js";

const live = new Live();
const views = {
  overview: new Overview(live),
  sessions: new Sessions(),
  digests: new Digests(),
  scripts: new Scripts(),
  events: new Events(),
  settings: new Settings(),
};
const main = document.getElementById("main");
const connection = document.getElementById("connection");
let current = null;
let latest = null;

/** The view that the address names. The links stay where they are, so the focus does, too. */
function show() {
  const [name, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  current = Object.hasOwn(views, name) ? name : "overview";
  if (rest.length > 0) views[current].open?.(rest.join("/"));
  main.replaceChildren(views[current].element);
  document.title = `${current[0].toUpperCase()}${current.slice(1)} - mysql-proxy`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${current}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (latest) views[current].refresh(latest);
}

live.addEventListener("overview", ({ detail }) => {
  latest = detail;
  const draining = detail.is_draining ? ", shutting down" : "";
  say(document.getElementById("identity"), `${location.host}, version ${detail.version}, up ${duration(detail.uptime_seconds)}${draining}`);
  views[current].refresh(detail);
});
live.addEventListener("down", ({ detail }) => {
  connection.hidden = false;
  document.body.classList.add("stale");
  say(connection, `Not connected since ${clock(detail)}. What is shown is from before; trying again.`);
});
live.addEventListener("up", () => {
  connection.hidden = true;
  connection.textContent = "";
  document.body.classList.remove("stale");
});

// A login came in between.
const view = sessionStorage.getItem("view");
sessionStorage.removeItem("view");
if (view && !location.hash) history.replaceState(null, "", view);

const theme = document.getElementById("theme");
const THEMES = ["system", "light", "dark"];
function showTheme() {
  const now = document.documentElement.dataset.theme ?? "system";
  say(theme, `Theme: ${now}`);
}
theme.addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "system";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  if (next === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("theme");
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  }
  showTheme();
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);
showTheme();
show();
live.start();
