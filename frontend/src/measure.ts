// How wide texts are in the fonts of a table.

export type Font = "text" | "mono" | "head";

/** Relative to the root's font size, as style.css has them. */
const FONTS: Readonly<Record<Font, { size: number; weight: number; mono: boolean }>> = {
  text: { size: 1, weight: 600, mono: false },
  mono: { size: 0.92, weight: 600, mono: true },
  head: { size: 0.88, weight: 600, mono: false },
};
const MONO = 'ui-monospace, "DejaVu Sans Mono", monospace';

export class TextMeasure {
  private readonly context = document.createElement("canvas").getContext("2d");
  private readonly widths = new Map<string, number>();
  private root = "";

  /** The width of a text in pixels, rounded up. */
  width(text: string, font: Font): number {
    const style = getComputedStyle(document.documentElement);
    const root = `${style.fontSize} ${style.fontFamily}`;
    if (root !== this.root) {
      this.root = root;
      this.widths.clear();
    }
    const key = `${font} ${text}`;
    const known = this.widths.get(key);
    if (known !== undefined) return known;
    if (this.widths.size > 5000) this.widths.clear();
    const { size, weight, mono } = FONTS[font];
    const pixels = Number.parseFloat(style.fontSize);
    let width = text.length * pixels * size * 0.6;
    if (this.context !== null) {
      this.context.font = `${weight} ${pixels * size}px ${mono ? MONO : style.fontFamily}`;
      width = this.context.measureText(text).width;
    }
    this.widths.set(key, Math.ceil(width));
    return Math.ceil(width);
  }
}

/** The one that all tables share. */
export const measure = new TextMeasure();
