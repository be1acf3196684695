import { type Signal, signal, useSignal } from "@preact/signals";
import { Component, createRef } from "preact";
import uPlot from "uplot";

import { save } from "../download.ts";
import {
  csvOf,
  extremes,
  fileName,
  lastKnown,
  nearest,
  type Series,
  type Span,
  scaleOf,
  stacked,
  timeMarks,
  valueAt,
  valueMarks,
} from "../plotting.ts";
import { dateAndTime } from "../wording.ts";

const HEIGHT = 190;
/** Steps of an axis that counts things. */
const WHOLE = [1, 10, 100, 1000, 10_000].flatMap((power) => [power, 2 * power, 5 * power]);
const DARK = "(prefers-color-scheme: dark)";
/** Pixels of a mark's letter, and beside the marks. */
const LETTER = 7;
/** Pixels between two marks of the axis of time: a time with seconds, and some. */
const TIME_SPACE = 72;
const BESIDE = 14;
/** Plots with this key show the same moment under the pointer. */
const SYNC = "page";
/** Samples of which so few are drawn as points: a line needs two. */
const FEW = 3;
/** Pixels; what is narrower is a click. */
const LEAST_SELECTION = 5;
const NO_SELECTION = { left: 0, width: 0, top: 0, height: 0 };
const PRIMARY = 1;

/** The reader drags over a plot. All plots stay as they are meanwhile: a selection is a part of what is seen. */
const dragging = signal(false);

export interface PlotProps {
  readonly title: string;
  /** Empty for what is counted. */
  readonly unit: string;
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly span: Span;
  readonly isStacked?: boolean;
  /** Its values are counts: the scale has whole numbers. */
  readonly whole?: boolean;
  /** The scale begins at 0. */
  readonly fromZero?: boolean;
  readonly leastRange?: number;
  /** Its series have times of their own: a line goes on where it has no value. */
  readonly joined?: boolean;
  /** The moment under the pointer, in seconds; all plots of a page share it. */
  readonly hovered: Signal<number | null>;
  readonly zoom: (span: Span) => void;
}

/** Leads back from a part of the time, where the page has plots of other things too. */
export function ZoomOut({ of, zoomed }: { of: string; zoomed: Signal<Span | null> }) {
  if (zoomed.value === null) return null;
  return (
    <button
      type="button"
      onClick={() => {
        zoomed.value = null;
      }}
    >
      Zoom out of {of}
    </button>
  );
}

/** A plot over time, with its values at the moment under the pointer, or the last ones, in words. */
export function Plot(props: PlotProps) {
  const { title, unit, times, series, hovered } = props;
  const canvas = useSignal<HTMLCanvasElement | null>(null);
  const at = hovered.value;
  const index = at === null || times.length === 0 ? null : nearest(times, at);
  const time = index === null ? undefined : times[index];
  const shown = (values: Series["values"], place: number | null) =>
    valueAt(values, place === null && props.joined ? lastKnown(values) : place);
  const words = series.map(({ label, values }) => `${label} ${shown(values, null)}`).join(", ");
  const now = times.length === 0 ? "nothing was recorded yet" : `${words}${unit === "" ? "" : ` ${unit}`}`;
  return (
    <figure class="plot">
      <figcaption>
        <div class="title">
          <strong>{title}</strong>
          {unit !== "" && <span class="quiet">{/^(per|mean) /.test(unit) ? unit : `in ${unit}`}</span>}
          <span class="quiet at">{time === undefined ? "" : dateAndTime(time)}</span>
          <span class="save">
            <button type="button" aria-label={`Save ${title} as PNG`} onClick={() => savePicture(canvas.value, props)}>
              PNG
            </button>
            <button
              type="button"
              aria-label={`Save ${title} as CSV`}
              onClick={() =>
                save(
                  new Blob([csvOf(times, series, unit)], { type: "text/csv" }),
                  fileName(title, props.span[1], "csv"),
                )
              }
            >
              CSV
            </button>
          </span>
        </div>
        <span class="legend">
          {series.map(({ label, values, color }) => (
            <span key={label}>
              <span class={`swatch ${color}`} aria-hidden="true" /> {label} <b>{shown(values, index)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <Drawing {...props} label={`${title}; now: ${now}`} canvas={canvas} />
      {times.length > 1 && <Moments {...props} index={index} />}
    </figure>
  );
}

/** For the keyboard: arrow keys go from sample to sample, and screen readers say its values. Seen while it has the focus. */
function Moments({ title, unit, times, series, hovered, index }: PlotProps & { index: number | null }) {
  const at = index ?? times.length - 1;
  const words = series.map(({ label, values }) => `${label} ${valueAt(values, at)}`).join(", ");
  return (
    <input
      type="range"
      class="moments"
      min={0}
      max={times.length - 1}
      value={at}
      aria-label={`Moment of ${title}`}
      aria-valuetext={`${dateAndTime(times[at] ?? 0)}: ${words} ${unit}`}
      onInput={(event) => {
        hovered.value = times[Number(event.currentTarget.value)] ?? null;
      }}
      onBlur={() => {
        hovered.value = null;
      }}
    />
  );
}

interface DrawingProps extends PlotProps {
  readonly label: string;
  readonly canvas: Signal<HTMLCanvasElement | null>;
}

/** The part that uPlot draws. */
class Drawing extends Component<DrawingProps> {
  private readonly place = createRef<HTMLDivElement>();
  private readonly scheme = window.matchMedia(DARK);
  private plot: uPlot | null = null;
  /** What the plot was built with; an empty text before that. */
  private built = "";
  /** It was to be drawn while the reader dragged. */
  private isLate = false;
  /** The drag began on this plot. */
  private isPressed = false;
  private readonly fit = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
  private readonly recolor = () => {
    this.built = "";
    this.draw();
  };
  private readonly press = (event: MouseEvent) => {
    if (event.button !== 0) return;
    this.isPressed = true;
    dragging.value = true;
    window.addEventListener("mouseup", this.follow);
    window.addEventListener("mousemove", this.follow);
  };
  /** The button may have come up where the page does not hear of it. */
  private readonly follow = ({ buttons }: MouseEvent) => {
    if ((buttons & PRIMARY) === 0) this.release();
  };
  private ignore = () => {};

  override componentDidMount(): void {
    this.build();
    this.scheme.addEventListener("change", this.recolor);
    this.place.current?.addEventListener("mousedown", this.press);
    if (this.place.current !== null) this.fit.observe(this.place.current);
    this.ignore = dragging.subscribe((isDragging) => {
      if (!isDragging && this.isLate) this.draw();
    });
  }

  override shouldComponentUpdate(next: DrawingProps): boolean {
    const { times, span } = this.props;
    const moved = next.times !== times || next.span[0] !== span[0] || next.span[1] !== span[1];
    return moved || valuesDiffer(next.series, this.props.series);
  }

  override componentDidUpdate(): void {
    this.draw();
  }

  override componentWillUnmount(): void {
    this.ignore();
    this.release();
    this.scheme.removeEventListener("change", this.recolor);
    this.fit.disconnect();
    this.plot?.destroy();
  }

  private release(): void {
    if (!this.isPressed) return;
    window.removeEventListener("mouseup", this.follow);
    window.removeEventListener("mousemove", this.follow);
    this.isPressed = false;
    dragging.value = false;
  }

  /** Show what the properties say now, after a drag. */
  private draw(): void {
    this.isLate = dragging.peek();
    if (this.isLate) return;
    if (this.built === looksOf(this.props.series)) this.plot?.setData(this.data() as uPlot.AlignedData);
    else this.build();
  }

  private width(): number {
    return Math.max(200, this.place.current?.clientWidth ?? 0);
  }

  private layers(): readonly (readonly (number | null)[])[] {
    const { series, isStacked } = this.props;
    return isStacked ? stacked(series) : series.map(({ values }) => values);
  }

  private data(): unknown[] {
    return [this.props.times, ...this.layers()];
  }

  private range(): uPlot.Range.MinMax {
    const { times, span, fromZero = true, leastRange } = this.props;
    const [least, most] = scaleOf(extremes(times, this.layers(), span), fromZero, leastRange);
    return [least, most];
  }

  private build(): void {
    this.plot?.destroy();
    if (this.place.current === null) return;
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const { series, isStacked = false, whole = false, joined = false } = this.props;
    const drawn = isStacked ? [...series].reverse() : series;
    const axis = {
      stroke: color("quiet"),
      font: "12px system-ui, sans-serif",
      grid: { stroke: color("line"), width: 1 },
      ticks: { show: false },
    };
    const options: uPlot.Options = {
      width: this.width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, sync: { key: SYNC, setSeries: false } },
      scales: { x: { range: () => [...this.props.span] }, y: { range: () => this.range() } },
      axes: [
        { ...axis, size: 26, space: TIME_SPACE, values: (_, marks, __, ___, distance) => timeMarks(marks, distance) },
        {
          ...axis,
          size: (_, marks) => BESIDE + LETTER * Math.max(3, ...(marks ?? []).map((mark) => mark.length)),
          values: (_, marks, __, ___, distance) => valueMarks(marks, distance),
          ...(isStacked || whole ? { incrs: WHOLE } : {}),
        },
      ],
      series: [
        {},
        ...drawn.map((each) => ({
          stroke: color(each.color),
          width: isStacked ? 1 : 2,
          spanGaps: joined,
          ...(isStacked ? { fill: color(each.color) } : {}),
          points: { show: (plot: uPlot) => plot.data[0].length < FEW },
        })),
      ],
      hooks: { setCursor: [(plot) => this.pointed(plot)], setSelect: [(plot) => this.selected(plot)] },
    };
    this.plot = new uPlot(options, this.data() as uPlot.AlignedData, this.place.current);
    this.built = looksOf(series);
    this.props.canvas.value = this.place.current.querySelector("canvas");
  }

  private pointed({ cursor, data }: uPlot): void {
    const time = cursor.idx === null || cursor.idx === undefined ? undefined : data[0][cursor.idx];
    this.props.hovered.value = (cursor.left ?? -1) < 0 || time === undefined ? null : time;
  }

  private selected(plot: uPlot): void {
    const { left, width } = plot.select;
    const span: Span = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect(NO_SELECTION, false);
    // The selections of the other plots follow this one's.
    if (this.isPressed && width >= LEAST_SELECTION) this.props.zoom(span);
  }

  override render({ label }: DrawingProps) {
    return <div ref={this.place} role="img" aria-label={label} />;
  }
}

function valuesDiffer(some: readonly Series[], others: readonly Series[]): boolean {
  return some.length !== others.length || some.some((one, index) => one.values !== others[index]?.values);
}

/** What a plot is built with: the rest of it changes as it is. */
function looksOf(series: readonly Series[]): string {
  return JSON.stringify(series.map(({ label, color }) => [label, color]));
}

/** The plot as an image with its title and legend, in the colours that it is seen in. */
function savePicture(plot: HTMLCanvasElement | null, { title, unit, series, span }: PlotProps): void {
  if (plot === null) return;
  const ratio = window.devicePixelRatio || 1;
  const head = 46 * ratio;
  const picture = document.createElement("canvas");
  picture.width = plot.width + 24 * ratio;
  picture.height = plot.height + head + 12 * ratio;
  const context = picture.getContext("2d");
  if (context === null) return;
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  context.fillStyle = color("panel");
  context.fillRect(0, 0, picture.width, picture.height);
  context.fillStyle = color("text");
  context.font = `600 ${14 * ratio}px system-ui, sans-serif`;
  const heading = unit === "" ? title : `${title} (${unit})`;
  context.fillText(`${heading}, ${dateAndTime(span[0])} to ${dateAndTime(span[1])}`, 12 * ratio, 20 * ratio);
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  let left = 12 * ratio;
  for (const { label, color: name } of series) {
    context.fillStyle = color(name);
    context.fillRect(left, 29 * ratio, 9 * ratio, 9 * ratio);
    context.fillStyle = color("text");
    context.fillText(label, left + 13 * ratio, 38 * ratio);
    left += context.measureText(label).width + 28 * ratio;
  }
  context.drawImage(plot, 12 * ratio, head);
  picture.toBlob((blob) => {
    if (blob !== null) save(blob, fileName(title, span[1], "png"));
  });
}
