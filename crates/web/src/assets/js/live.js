// What the proxy says of itself, each second; and the way back when it stops saying anything.

/** Past this, a connection that says nothing is none. */
const SILENCE_MS = 6000;
const RETRY_MS = 1000;
const SAMPLES = 300;

/** Goes to the login, and remembers where to come back to. */
export function logIn() {
  sessionStorage.setItem("view", location.hash);
  location.assign("/login");
}

/** JSON from the proxy. Throws an Error with what it says where it refuses. */
export async function ask(path, options = {}) {
  const response = await fetch(path, { signal: AbortSignal.timeout(10000), ...options });
  if (response.status === 401) {
    logIn();
    throw new Error("not logged in any more");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Changes something. */
export const tell = (path) => ask(path, { method: "POST" });

/** Events: `overview` with the state in `detail`, `down` with since when, `up`. */
export class Live extends EventTarget {
  /** The last minutes, the oldest first. */
  samples = [];
  #source = null;
  #heard = 0;
  #downSince = null;

  start() {
    this.#open();
    setInterval(() => {
      if (this.#source && performance.now() - this.#heard > SILENCE_MS) this.#lost();
    }, 1000);
  }

  #open() {
    let isFruitful = false;
    const source = new EventSource("/api/stream");
    this.#source = source;
    this.#heard = performance.now();
    source.addEventListener("history", (event) => {
      this.samples = JSON.parse(event.data);
    });
    source.addEventListener("overview", (event) => {
      isFruitful = true;
      this.#hear(JSON.parse(event.data));
    });
    source.addEventListener("error", () => this.#lost(isFruitful ? 0 : RETRY_MS));
  }

  #hear(overview) {
    this.#heard = performance.now();
    if (this.#downSince !== null) {
      this.#downSince = null;
      this.dispatchEvent(new Event("up"));
    }
    // The first state of a stream has the last sample of the past.
    if (overview.sample.at > (this.samples.at(-1)?.at ?? 0)) this.samples.push(overview.sample);
    this.samples.splice(0, this.samples.length - SAMPLES);
    this.dispatchEvent(new CustomEvent("overview", { detail: overview }));
  }

  #lost(wait = 0) {
    this.#source?.close();
    this.#source = null;
    setTimeout(() => this.#again(), wait);
  }

  /** A stream does not say why it ended: a question does. */
  async #again() {
    try {
      await ask("/api/overview", { signal: AbortSignal.timeout(SILENCE_MS) });
      this.#open();
    } catch {
      this.#downSince ??= Date.now();
      this.dispatchEvent(new CustomEvent("down", { detail: this.#downSince }));
      setTimeout(() => this.#again(), RETRY_MS);
    }
  }
}
