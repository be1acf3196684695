// A browser's document in Node.js, for tests of views; imported before what uses one. It has no layout: the page is as
// wide as a test says, and plots are drawn on nothing.

import { Window } from "happy-dom";

const made = new Window({ url: "http://farm:8080/", width: 1280, height: 800 });

/** What the page uses of its window; of what Node.js has too, Node.js's own. */
const NAMES =
  "document history location localStorage sessionStorage CustomEvent DOMRect Element Event FormData HTMLElement " +
  "HTMLInputElement KeyboardEvent MouseEvent MutationObserver Node PopStateEvent ResizeObserver " +
  "navigator matchMedia devicePixelRatio";

function define(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

// Timers are those of Node.js, or those that a test has put in their place.
Object.assign(made, {
  setTimeout: (call: () => void, milliseconds: number) => setTimeout(call, milliseconds),
  setInterval: (call: () => void, milliseconds: number) => setInterval(call, milliseconds),
  clearTimeout: (timer: number) => clearTimeout(timer),
  clearInterval: (timer: number) => clearInterval(timer),
});
define("window", made);
for (const name of NAMES.split(" ")) {
  const value = (made as unknown as Record<string, unknown>)[name];
  define(name, typeof value === "function" && /^[a-z]/.test(name) ? value.bind(made) : value);
}
define("requestAnimationFrame", (call: () => void) => setTimeout(call, 16));
define("cancelAnimationFrame", (timer: number) => clearTimeout(timer));
define("getComputedStyle", () => ({ fontSize: "14px", fontFamily: "sans-serif", getPropertyValue: () => "" }));
define(
  "Path2D",
  class {
    moveTo(): void {}
    lineTo(): void {}
    rect(): void {}
    arc(): void {}
    closePath(): void {}
  },
);

/** Draws nothing; each text is 8 pixels a character. */
const pen = new Proxy(
  { measureText: (text: string) => ({ width: 8 * text.length }) },
  { get: (known, name) => known[name as keyof typeof known] ?? (() => {}), set: () => true },
);
made.HTMLCanvasElement.prototype.getContext = (() => pen) as never;

/** The page's size in pixels. */
export const screen = { width: 1280, height: 800 };

Object.defineProperty(made.HTMLElement.prototype, "clientWidth", { get: () => screen.width, configurable: true });
