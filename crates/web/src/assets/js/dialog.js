// Asks before something is done that cannot be taken back, and says what became of it.

import { h, say } from "./dom.js";

const NOTICE_MS = 8000;

/** True when the operator says yes. The focus goes back to where it was. */
export function confirm(title, text, yes) {
  return new Promise((resolve) => {
    const done = h("button", { class: "danger", value: "yes" }, yes);
    const dialog = h("dialog", { "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" },
      h("form", { method: "dialog" },
        h("h2", { id: "dialog-title" }, title),
        h("p", { id: "dialog-text" }, text),
        h("div", { class: "buttons" }, h("button", { value: "no", autofocus: true }, "Cancel"), done)));
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Shows something until the operator has seen it. */
export function present(title, content) {
  const dialog = h("dialog", { class: "wide", "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title),
    content,
    h("form", { method: "dialog", class: "buttons" }, h("button", { autofocus: true }, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

let hiding;

/** Says something for a while. */
export function notify(text, isFailure = false) {
  const notice = document.getElementById("notice");
  notice.hidden = false;
  notice.classList.toggle("failure", isFailure);
  say(notice, text);
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    notice.hidden = true;
    notice.textContent = "";
  }, NOTICE_MS);
}
