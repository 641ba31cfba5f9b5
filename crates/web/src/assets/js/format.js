// Numbers and times for people.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });

export const count = (number) => WHOLE.format(number);

/** Of something in a second: as many digits as mean anything. */
export function rate(number) {
  if (number === 0) return "0";
  if (number < 0.1) return number.toFixed(2);
  return number < 10 ? number.toFixed(1) : count(number);
}

/** Milliseconds, in the unit that fits. */
export function latency(ms) {
  if (ms === null) return "\u2013";
  if (ms < 1) return `${Math.round(ms * 1000)} \u00b5s`;
  if (ms < 1000) return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
  return `${Number((ms / 1000).toFixed(1))} s`;
}

/** Seconds, with two units at most. */
export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first === -1) return "0 s";
  const parts = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const whole = Math.floor(seconds / size);
    seconds -= whole * size;
    if (whole > 0) parts.push(`${whole} ${unit}`);
  }
  return parts.join(" ");
}

/** Milliseconds since 1970. */
export const clock = (at) => CLOCK.format(at);
export const date = (at) => (at === null ? "\u2013" : DAY.format(at));

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
