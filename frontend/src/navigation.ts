// Where the reader is: the address behind the '#' as a signal, with the browser's history, title and scroll position.

import { computed, effect, signal } from "@preact/signals";

import { type Address, addressOf, parseAddress, type Query, titleOf } from "./pages.ts";

/** Milliseconds of rest after which the scroll position is noted; browsers limit how often that may be done. */
const REST = 200;

export class Navigation {
  readonly address = signal<Address>(parseAddress(window.location.hash));
  /** The address without what the reader chose on its page. */
  readonly place = computed(() => `${this.address.value.page}/${this.address.value.name ?? ""}`);

  private resting: number | undefined;
  private readonly moved = (event: PopStateEvent) => this.arrive(event.state as { scroll?: number } | null);
  private readonly scrolled = () => {
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => {
      window.history.replaceState({ scroll: window.scrollY }, "");
    }, REST);
  };
  private untitle = () => {};

  start(): void {
    window.history.scrollRestoration = "manual";
    window.addEventListener("popstate", this.moved);
    window.addEventListener("scroll", this.scrolled, { passive: true });
    this.untitle = effect(() => {
      document.title = titleOf(this.address.value);
    });
  }

  stop(): void {
    window.removeEventListener("popstate", this.moved);
    window.removeEventListener("scroll", this.scrolled);
    clearTimeout(this.resting);
    this.untitle();
  }

  /** What the reader chose on this page; empty where nothing is chosen. */
  chosen(key: string): string {
    return this.address.value.query[key] ?? "";
  }

  /**
   * Choose something on this page. A choice made by one click is a step that Back takes back; one that is typed, or
   * follows from another, is not.
   */
  choose(query: Query, step: "step" | "same"): void {
    const { page, name, query: before } = this.address.value;
    if (page === "unknown") return;
    const href = addressOf(page, name, { ...before, ...query });
    clearTimeout(this.resting);
    if (step === "step") window.history.pushState({ scroll: window.scrollY }, "", href);
    else window.history.replaceState({ scroll: window.scrollY }, "", href);
    this.address.value = parseAddress(href);
  }

  /** A page that was just opened is at its top, and its heading has the focus: screen readers say what it is. */
  private arrive(state: { scroll?: number } | null): void {
    clearTimeout(this.resting);
    const before = this.place.value;
    this.address.value = parseAddress(window.location.hash);
    const same = before === this.place.value;
    requestAnimationFrame(() => {
      if (state?.scroll !== undefined || !same) window.scrollTo(0, state?.scroll ?? 0);
      if (!same) document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
    });
  }
}
