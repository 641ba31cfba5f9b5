// Tables whose rows stay the same elements while what they say changes: focus and selection survive.

import { h, say } from "./dom.js";

/**
 * `columns`: `{ label, sort, class, text(row), make(row), update(parts, row) }`. A cell is a text, or what `make` gives, which
 * `update` renews: `make` returns `{ element, ... }`. `sort` is the name by which `sorted` is asked to sort.
 */
export class Table {
  #rows = new Map();
  #body = h("tbody");
  #heads;
  #columns;
  #key;
  #empty = h("p", { class: "empty", hidden: true });

  constructor({ caption, columns, key, sorted, sort, descending }) {
    this.#columns = columns;
    this.#key = key;
    this.sort = sort ?? "";
    this.descending = descending ?? false;
    this.#heads = columns.map((column) => this.#head(column, sorted));
    this.element = h("div", { class: "table" },
      h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, h("tr", {}, ...this.#heads)), this.#body),
      this.#empty);
    this.#mark();
  }

  #head(column, sorted) {
    const { label, sort } = column;
    if (!sort) return h("th", { scope: "col", class: column.class }, label);
    const press = () => {
      this.descending = this.sort === sort && !this.descending;
      this.sort = sort;
      this.#mark();
      sorted();
    };
    return h("th", { scope: "col", class: column.class }, h("button", { type: "button", class: "sort", onclick: press }, label));
  }

  #mark() {
    this.#columns.forEach(({ sort }, index) => {
      if (sort && sort === this.sort) this.#heads[index].setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else this.#heads[index].removeAttribute("aria-sort");
    });
  }

  /** Shows these rows in this order; `empty` says why there are none. */
  show(rows, empty) {
    const focused = document.activeElement;
    const left = new Set(this.#rows.keys());
    rows.forEach((row, index) => {
      const key = this.#key(row);
      left.delete(key);
      if (!this.#rows.has(key)) this.#rows.set(key, this.#make(row));
      const shown = this.#rows.get(key);
      this.#update(shown, row);
      const there = this.#body.children[index];
      if (there !== shown.element) this.#body.insertBefore(shown.element, there ?? null);
    });
    for (const key of left) {
      this.#rows.get(key).element.remove();
      this.#rows.delete(key);
    }
    // A row that has moved has lost the focus.
    if (focused !== document.activeElement && this.#body.contains(focused)) focused.focus({ preventScroll: true });
    this.#empty.hidden = rows.length > 0;
    say(this.#empty, rows.length > 0 ? "" : empty);
  }

  #make(row) {
    const parts = this.#columns.map((column) => column.make?.(row) ?? null);
    const cells = this.#columns.map((column, index) =>
      h("td", { class: column.class, "data-label": column.label }, parts[index]?.element));
    return { element: h("tr", {}, ...cells), cells, parts };
  }

  #update({ element, cells, parts }, row) {
    this.#columns.forEach((column, index) => {
      if (column.text) say(cells[index], column.text(row));
      else column.update(parts[index], row, element);
    });
  }
}
