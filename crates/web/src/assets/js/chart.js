// Lines over time, drawn by hand: a number for each second, the newest at the right end.

import { h, s, say, set } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 60;
/** So many samples are the whole width at least: a young line grows from the right. */
const SPAN_MIN = 60;

/** Above all values, and a number that people like: 1, 2 or 5 with zeros. */
export function ceiling(values, least) {
  const most = Math.max(least, ...values.filter((value) => value !== null));
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most * 0.999);
}

/** For values of which some are a thousand times others: 0 to 1 between two powers of ten around all of them. */
export function logarithmic(lists) {
  const values = lists.flat().filter((value) => value !== null && value > 0);
  const low = Math.floor(Math.log10(Math.min(...values, 1)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values, 0.001))));
  const place = (value) => (value === null ? null : Math.max(0, (Math.log10(value) - low) / (high - low)));
  return { low: 10 ** low, high: 10 ** high, lists: lists.map((list) => list.map(place)) };
}

/** Where a value is, in the picture's own units. */
function point(values, index, most, width, height) {
  const span = Math.max(values.length, SPAN_MIN) - 1;
  const x = width - (values.length - 1 - index) * (width / span);
  return `${x.toFixed(1)} ${(height - (values[index] / most) * height).toFixed(1)}`;
}

/** A line with gaps where there is no value. */
function line(values, most, width = WIDTH, height = HEIGHT) {
  let path = "";
  let isDrawing = false;
  values.forEach((value, index) => {
    if (value !== null) path += `${isDrawing ? "L" : "M"}${point(values, index, most, width, height)}`;
    isDrawing = value !== null;
  });
  return path;
}

/** What is between two lines of equal length without gaps. */
function area(above, below, most, width = WIDTH, height = HEIGHT) {
  if (above.length === 0) return "";
  const forth = above.map((_, index) => point(above, index, most, width, height));
  const back = below.map((_, index) => point(below, index, most, width, height)).reverse();
  return `M${[...forth, ...back].join("L")}Z`;
}

/** A figure: what it is called, how much it is, how it came about. `series` name CSS classes, the first one in front. */
export class Figure {
  #value = h("span", { class: "value" });
  #unit = h("span", { class: "unit" });
  #more = h("p", { class: "more" });
  #scale = h("span", { class: "scale", "aria-hidden": "true" });
  #from = h("span");
  #paths;
  #svg;

  constructor(id, label, unit, series) {
    this.#unit.textContent = unit;
    this.#paths = series.map((name) => s("path", { class: name }));
    this.#svg = s("svg", { viewBox: `0 -2 ${WIDTH} ${HEIGHT + 4}`, preserveAspectRatio: "none", role: "img" }, ...this.#paths.toReversed());
    this.element = h("section", { class: "figure", id, "aria-label": label },
      h("h3", {}, label),
      h("p", { class: "reading" }, this.#value, " ", this.#unit),
      this.#more,
      h("div", { class: "plot" }, this.#svg, this.#scale,
        h("div", { class: "span", "aria-hidden": "true" }, this.#from, h("span", {}, "now"))));
  }

  read(value, unit, more) {
    say(this.#value, value);
    say(this.#unit, unit);
    say(this.#more, more);
  }

  /** One line for each of `series`, all with the same scale. */
  lines(all, most, scale, description) {
    all.forEach((values, index) => {
      set(this.#paths[index], "d", line(values, most));
    });
    this.#describe(all[0], scale, description);
  }

  /** Each of `series` on top of those before it. */
  stack(all, most, scale, description) {
    let below = all[0].map(() => 0);
    all.forEach((values, index) => {
      const above = values.map((value, at) => value + below[at]);
      set(this.#paths[index], "d", area(above, below, most));
      below = above;
    });
    this.#describe(all[0], scale, description);
  }

  /** The one line, and what is under it. */
  filled(values, most, scale, description) {
    set(this.#paths[0], "d", line(values, most));
    set(this.#paths[1], "d", area(values, values.map(() => 0), most));
    this.#describe(values, scale, description);
  }

  /** The samples are a second apart. */
  #describe(values, scale, description) {
    say(this.#scale, scale);
    say(this.#from, `${Math.round(Math.max(values.length, SPAN_MIN) / 60)} min ago`);
    set(this.#svg, "aria-label", description);
  }
}

/** A line as long as a word. */
export class Spark {
  #path = s("path", { class: "line" });
  element = s("svg", { class: "spark", viewBox: "0 -1 90 18", "aria-hidden": "true", preserveAspectRatio: "none" }, this.#path);

  draw(values) {
    set(this.#path, "d", line(values, ceiling(values, 1), 90, 16));
  }
}
