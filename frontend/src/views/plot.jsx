import { Component, createRef } from "preact";
import uPlot from "uplot";

import { clockTime, number } from "../wording.js";

const HEIGHT = 190;
/** Steps of an axis that counts things. */
const WHOLE = [1, 10, 100, 1000, 10_000].flatMap((power) => [power, 2 * power, 5 * power]);
const DARK = "(prefers-color-scheme: dark)";

/**
 * A plot over time with a legend in words.
 * `span`: [from, to] in seconds since the epoch; `series`: [{label, values, color (a CSS variable's name), fill}]; `times`: seconds since the epoch; `stacked`.
 */
export class Plot extends Component {
  constructor(props) {
    super(props);
    this.place = createRef();
    this.scheme = window.matchMedia(DARK);
    this.rebuild = () => this._build();
    this.fit = new ResizeObserver(() => this.plot?.setSize({ width: this._width(), height: HEIGHT }));
  }

  componentDidMount() {
    this._build();
    this.scheme.addEventListener("change", this.rebuild);
    this.fit.observe(this.place.current);
  }

  componentDidUpdate(before) {
    if (before.times.length < 3) this._build();
    else this.plot?.setData(this._data());
  }

  shouldComponentUpdate(next) {
    return next.times !== this.props.times;
  }

  componentWillUnmount() {
    this.scheme.removeEventListener("change", this.rebuild);
    this.fit.disconnect();
    this.plot?.destroy();
  }

  _width() {
    return Math.max(200, this.place.current.clientWidth);
  }

  /** Stacked series lie on one another: each one's line is the sum up to it. */
  _data() {
    const { times, series, stacked } = this.props;
    if (!stacked) return [times, ...series.map(({ values }) => values)];
    const sums = new Array(times.length).fill(0);
    const layers = series.map(({ values }) => values.map((value, index) => (sums[index] += value ?? 0)));
    return [times, ...layers.reverse()];
  }

  _build() {
    this.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    const { series, stacked } = this.props;
    const drawn = stacked ? [...series].reverse() : series;
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: color("quiet"), font, grid: { stroke: color("line"), width: 1 }, ticks: { show: false } };
    const options = {
      width: this._width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { range: () => this.props.span }, y: { range: (_, __, top) => [0, top > 0 ? top * 1.08 : 1] } },
      axes: [
        { ...axis, size: 26, values: (_, times) => times.map((time) => clockTime(time).slice(0, 5)) },
        { ...axis, size: 46, ...(stacked && { incrs: WHOLE }), values: (_, values) => values.map((value) => number(value)) },
      ],
      series: [
        {},
        ...drawn.map((each) => ({
          stroke: color(each.color),
          width: stacked ? 1 : 2,
          fill: stacked ? color(each.color) : undefined,
          points: { show: this.props.times.length < 3 },
        })),
      ],
    };
    this.plot = new uPlot(options, this._data(), this.place.current);
  }

  render({ title, unit, times, series }) {
    const last = series.map(({ label, values }) => `${label} ${number(lastOf(values))}`).join(", ");
    const words = times.length === 0 ? "nothing was recorded yet" : `${last}${unit ? ` ${unit}` : ""}`;
    return (
      <figure class="plot">
        <figcaption>
          <strong>{title}</strong> {unit && <span class="quiet">{unit.startsWith("per") ? unit : `in ${unit}`}</span>}
          <span class="legend">
            {series.map(({ label, values, color }) => (
              <span key={label}>
                <span class={`swatch ${color}`} aria-hidden="true" /> {label} <b>{number(lastOf(values))}</b>
              </span>
            ))}
          </span>
        </figcaption>
        <div ref={this.place} role="img" aria-label={`${title}; now: ${words}`} />
      </figure>
    );
  }
}

function lastOf(values) {
  return values.length === 0 ? null : values[values.length - 1];
}
