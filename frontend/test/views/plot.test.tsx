// One plot: what it says in words, under the keyboard, and as a file.

import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Asia/Kolkata";

import "../dom.ts";

import { signal } from "@preact/signals";
import { fireEvent } from "@testing-library/dom";
import { render } from "preact";
import { act } from "preact/test-utils";

import type { Span } from "../../src/plotting.ts";
import { Plot, type PlotProps, ZoomOut } from "../../src/views/plot.tsx";

const TIMES = [0, 60, 120];
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Draws the plot with other properties. */
type Change = (props: Partial<PlotProps>) => Promise<void>;

/** Draw a plot, look at it, and take it away. */
async function drawn(props: Partial<PlotProps>, look: (root: HTMLElement, change: Change) => unknown): Promise<void> {
  const root = document.createElement("div");
  document.body.append(root);
  let whole: PlotProps = {
    title: "Load",
    unit: "ms",
    times: TIMES,
    series: [{ label: "load", values: [1, 2.5, null], color: "accent" }],
    span: [0, 120],
    hovered: signal<number | null>(null),
    zoom: () => {},
  };
  const change: Change = (changed) =>
    act(async () => {
      whole = { ...whole, ...changed };
      render(<Plot {...whole} />, root);
      await settled();
    });
  try {
    await change(props);
    await look(root, change);
  } finally {
    render(null, root);
    root.remove();
  }
}

const words = (root: HTMLElement) => root.querySelector("[role=img]")?.getAttribute("aria-label");
const legend = (root: HTMLElement) => root.querySelector(".legend")?.textContent?.replace(/\s+/g, " ").trim();
const moment = (root: HTMLElement) => root.querySelector<HTMLInputElement>("input[type=range]");

/** The files that are saved while something happens. */
async function saved(happens: () => void): Promise<{ name: string; text: string }[]> {
  const files: { name: string; blob: Blob }[] = [];
  const real = { make: URL.createObjectURL, click: window.HTMLAnchorElement.prototype.click };
  URL.createObjectURL = (blob: Blob) => {
    files.push({ name: "", blob });
    return "blob:x";
  };
  window.HTMLAnchorElement.prototype.click = function () {
    (files.at(-1) as { name: string }).name = this.download;
  };
  try {
    happens();
  } finally {
    URL.createObjectURL = real.make;
    window.HTMLAnchorElement.prototype.click = real.click;
  }
  return Promise.all(files.map(async ({ name, blob }) => ({ name, text: await blob.text() })));
}

test("a plot says its last values in words", () =>
  drawn({}, (root) => {
    assert.equal(words(root), "Load; now: load – ms");
    assert.equal(legend(root), "load –");
    assert.equal(root.querySelector(".title .quiet")?.textContent, "in ms");
  }));

test("a plot of lines with times of their own says the last value of each", () =>
  drawn({ joined: true, unit: "" }, (root) => {
    assert.equal(words(root), "Load; now: load 2.5");
  }));

test("a rate is not said to be in its unit", () =>
  drawn({ unit: "per minute" }, (root) => {
    assert.equal(root.querySelector(".title .quiet")?.textContent, "per minute");
  }));

test("the keyboard goes from sample to sample, and leaves them when the focus goes", () => {
  const hovered = signal<number | null>(null);
  return drawn({ hovered }, async (root) => {
    assert.equal(moment(root)?.value, "2");
    await act(async () => {
      fireEvent.input(moment(root) as Element, { target: { value: "1" } });
      await settled();
    });
    assert.equal(hovered.value, 60);
    assert.equal(moment(root)?.getAttribute("aria-valuetext"), "1970-01-01 05:31:00: load 2.5 ms");
    assert.equal(legend(root), "load 2.5");
    await act(async () => {
      fireEvent.blur(moment(root) as Element);
      await settled();
    });
    assert.equal(hovered.value, null);
  });
});

test("a moment of another plot is that of the closest sample", () => {
  const hovered = signal<number | null>(null);
  return drawn({ hovered }, async (root) => {
    await act(() => {
      hovered.value = 50;
    });
    assert.equal(legend(root), "load 2.5");
    assert.equal(root.querySelector(".at")?.textContent, "1970-01-01 05:31:00");
  });
});

test("nothing and one sample have no moments to go to", async () => {
  await drawn({ times: [], series: [] }, (root) => {
    assert.ok(moment(root) === null);
    assert.equal(words(root), "Load; now: nothing was recorded yet");
  });
  await drawn({ times: [5], series: [{ label: "load", values: [7], color: "accent" }] }, (root) => {
    assert.ok(moment(root) === null);
    assert.equal(legend(root), "load 7");
  });
});

test("names of series are text and never markup", () =>
  drawn({ series: [{ label: "<b>x</b>", values: [1, 2, 3], color: "accent" }], joined: true }, (root) => {
    assert.equal(legend(root), "<b>x</b> 3");
    assert.equal(words(root), "Load; now: <b>x</b> 3 ms");
  }));

test("a plot is saved as a table, named after its end", () =>
  drawn({}, async (root) => {
    const csv = root.querySelector<HTMLElement>("[aria-label='Save Load as CSV']");
    const [file, more] = await saved(() => csv?.click());
    assert.equal(more, undefined);
    assert.equal(file?.name, "icefarm-load-1970-01-01-05-32-00.csv");
    assert.deepEqual(file?.text.split("\r\n").slice(0, 3), [
      "time,load (ms)",
      "1970-01-01T00:00:00.000Z,1",
      "1970-01-01T00:01:00.000Z,2.5",
    ]);
  }));

test("a plot with values that do not change, or are endless, is drawn", async () => {
  for (const values of [
    [5, 5, 5],
    [null, null, null],
    [0, 0, 0],
    [-1, -1e300, 1e300],
    [1e-300, 2e-300, 3e-300],
  ]) {
    await drawn({ fromZero: false, joined: true, series: [{ label: "load", values, color: "accent" }] }, (root) => {
      assert.ok(root.querySelector("canvas"));
    });
  }
});

test("stacked states are drawn, with the order of their legend", () => {
  const series = [
    { label: "reserved", values: [1, 2, 3], color: "reserved" },
    { label: "available", values: [3, 2, 1], color: "available" },
  ];
  return drawn({ series, isStacked: true, unit: "" }, (root) => {
    assert.equal(legend(root), "reserved 3 available 1");
  });
});

test("a zoom can be left, where there is one", async () => {
  const zoomed = signal<Span | null>([1, 2]);
  const root = document.createElement("div");
  await act(() => render(<ZoomOut of="values" zoomed={zoomed} />, root));
  const button = root.querySelector("button");
  assert.equal(button?.textContent, "Zoom out of values");
  await act(() => button?.click());
  assert.equal(zoomed.value, null);
  assert.ok(root.querySelector("button") === null);
  render(null, root);
});

const canvas = (root: HTMLElement) => root.querySelector("canvas");

/** What a reader does with the button down, over the canvas of a plot; `meanwhile` happens in the middle of it. */
async function drag(
  root: HTMLElement,
  meanwhile: () => unknown = () => {},
  ends: () => unknown = () => fireEvent.mouseUp(document, { clientX: 300, buttons: 0 }),
): Promise<void> {
  const over = () => root.querySelector(".u-over") as Element;
  fireEvent.mouseDown(over(), { clientX: 100, buttons: 1 });
  fireEvent.mouseMove(over(), { clientX: 200, movementX: 100, buttons: 1 });
  await meanwhile();
  fireEvent.mouseMove(over(), { clientX: 300, movementX: 100, buttons: 1 });
  await act(async () => {
    await ends();
    await settled();
  });
}

/** Three samples more. */
const LATER: Partial<PlotProps> = {
  times: [0, 60, 120, 180, 240, 300],
  series: [{ label: "load", values: [1, 2, 3, 4, 5, 6], color: "accent" }],
  span: [0, 300],
};

/** The span that a drag chooses, and what is chosen if this happens meanwhile. */
async function chosen(props: Partial<PlotProps>, meanwhile?: (change: Change) => unknown): Promise<Span[]> {
  const spans: Span[] = [];
  await drawn({ zoom: (span) => spans.push(span), ...props }, (root, change) => drag(root, () => meanwhile?.(change)));
  return spans;
}

for (const [what, first] of [
  ["many samples", {}],
  ["the first sample", { times: [0], series: [{ label: "load", values: [1], color: "accent" }] }],
  ["no sample", { times: [], series: [{ label: "load", values: [], color: "accent" }] }],
] as const) {
  test(`samples that come during a drag over ${what} change nothing of what it chooses`, async () => {
    const [alone, ...none] = await chosen(first);
    assert.ok(alone !== undefined && alone[1] > alone[0] + 10);
    assert.deepEqual(none, []);
    assert.deepEqual(await chosen(first, (change) => change(LATER)), [alone]);
  });
}

test("a line that comes during a drag is drawn at its end", () =>
  drawn({}, async (root, change) => {
    const before = canvas(root);
    await drag(root, async () => {
      await change({ series: [...(LATER.series ?? []), { label: "other", values: [1, 2, 3], color: "testing" }] });
      assert.ok(canvas(root) === before);
    });
    assert.ok(canvas(root) !== before);
  }));

test("samples are drawn without another canvas, however few there were", () =>
  drawn({ times: [], series: [{ label: "load", values: [], color: "accent" }] }, async (root, change) => {
    const before = canvas(root);
    await change({ times: [0], series: [{ label: "load", values: [1], color: "accent" }] });
    await change(LATER);
    assert.ok(canvas(root) === before);
  }));

test("a drag that ends out of sight of the page is over when the pointer is back", () =>
  drawn({}, async (root, change) => {
    const before = canvas(root);
    await drag(
      root,
      () => change({ series: [{ label: "other", values: [1, 2, 3], color: "testing" }] }),
      () => fireEvent.mouseMove(document.body, { buttons: 0 }),
    );
    assert.ok(canvas(root) !== before);
  }));

test("a click chooses nothing, and a drag leaves no selection behind on any plot", async () => {
  const spans: Span[] = [];
  const zoom = (span: Span) => spans.push(span);
  await drawn({ zoom }, (one) =>
    drawn({ zoom }, async (other) => {
      await drag(one);
      assert.equal(spans.length, 1);
      for (const root of [one, other]) {
        assert.equal(root.querySelector<HTMLElement>(".u-select")?.style.width, "0px");
      }
      const over = one.querySelector(".u-over") as Element;
      fireEvent.mouseDown(over, { clientX: 100, buttons: 1 });
      fireEvent.mouseUp(document, { clientX: 100, buttons: 0 });
      assert.equal(spans.length, 1);
    }),
  );
});

test("the moment under the pointer is one that is drawn, whatever came during a drag", () => {
  const hovered = signal<number | null>(null);
  return drawn({ hovered }, (root, change) =>
    drag(root, async () => {
      const before = hovered.value;
      assert.notEqual(before, null);
      await change({ times: [1000, 1060, 1120], span: [1000, 1120] });
      fireEvent.mouseMove(root.querySelector(".u-over") as Element, { clientX: 201, movementX: 1, buttons: 1 });
      assert.equal(hovered.value, before);
    }),
  );
});
