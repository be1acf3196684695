"""Pure: no I/O, no clock.  A picture (SVG) of where a circuit is on the chip, of what ``icefarm simulate`` found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from attrs import frozen

__all__ = ["floor_plan_svg"]

#: Tiles of the iCE40UP5K; columns of block RAM, and those at the edges with DSP blocks and the like.
_COLUMNS, _ROWS = 26, 32
_RAM_COLUMNS = (6, 19)
#: A DSP block has this tile and the three above it.
_DSP_ROWS = 4
_CELLS = 8
#: Pixels: a tile of the overview; the room for the detail, and the smallest and largest tile there.
_SMALL = 7
_DETAIL, _TILE_LEAST, _TILE_MOST = 560, 16, 80
_MARGIN, _HEAD, _LEGEND_LINE = 24, 56, 22
_MEGA = 1e6
#: Hues of clocks that are told apart with any eyes (Okabe and Ito), the first ones twice if there are more.
_CLOCKS = 6
_STYLE = """
svg { --paper: #ffffff; --ink: #1f2430; --soft: #5d6676; --tile: #eef0f4; --ram: #e3e8f5; --edge: #f7f7f9;
  --table: #8d97a8; --way: #7a86a0; --pin: #c2185b; --c0: #0072b2; --c1: #e69f00; --c2: #009e73; --c3: #d55e00;
  --c4: #cc79a7; --c5: #56b4e9; font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --paper: #15181e; --ink: #e7eaf0; --soft: #9aa4b5; --tile: #20252e;
  --ram: #242c40; --edge: #1a1e25; --table: #6d788c; --way: #8793ad; --pin: #ff6f9f; --c0: #4aa8e0;
  --c1: #f0b429; --c2: #2fc79a; --c3: #f07a3c; --c4: #e29bc4; --c5: #8fd0f5; } }
text { fill: var(--ink); font-size: 13px } .soft { fill: var(--soft); font-size: 11px } .title { font-size: 17px;
  font-weight: 600 }
"""


@frozen
class _View:
    """A part of the chip, drawn with its lower left tile at the left bottom."""

    left: int
    bottom: int
    right: int
    top: int
    tile: float
    x: float
    y: float

    @property
    def width(self) -> float:
        return (self.right - self.left + 1) * self.tile

    @property
    def height(self) -> float:
        return (self.top - self.bottom + 1) * self.tile

    def corner(self, x: int, y: int) -> tuple[float, float]:
        """Return the upper left corner of a tile."""
        return self.x + (x - self.left) * self.tile, self.y + (self.top - y) * self.tile

    def has(self, x: int, y: int) -> bool:
        return self.left <= x <= self.right and self.bottom <= y <= self.top

    def middle(self, x: int, y: int) -> tuple[float, float]:
        left, top = self.corner(x, y)
        return left + self.tile / 2, top + self.tile / 2


def floor_plan_svg(found: Mapping[str, Any], title: str) -> str:
    """Return the picture of a circuit; ``found`` is the object of the program, with its plan."""
    plan = found["plan"]
    overview = _View(0, 0, _COLUMNS - 1, _ROWS - 1, _SMALL, _MARGIN, _HEAD + 18)
    detail = _detail(plan, overview.x + overview.width + 40)
    legend = list(_legend(found, overview))
    legend_end = overview.y + overview.height + 30 + len(legend) // 2 * _LEGEND_LINE
    width = detail.x + detail.width + _MARGIN
    height = max(legend_end, detail.y + detail.height + _LEGEND_LINE) + _MARGIN / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}">',
        f"<title>{escape(title)} on the iCE40UP5K</title>",
        f"<desc>{escape(_description(found))}</desc>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="var(--paper)"/>',
        f'<text class="title" x="{_MARGIN}" y="34">{escape(title)}</text>',
        f'<text class="soft" x="{overview.x:g}" y="{overview.y - 6:g}">the chip</text>',
        f'<text class="soft" x="{detail.x:g}" y="{detail.y - 6:g}">columns {detail.left} to {detail.right}, rows '
        f"{detail.bottom} to {detail.top}</text>",
        *_tiles(overview, numbered=False),
        *_ways(overview, plan["legs"]),
        *_used(overview, plan),
        _frame(overview, detail),
        *_tiles(detail, numbered=True),
        *_ways(detail, plan["legs"]),
        *_cells(detail, plan["cells"]),
        *_pads(detail, plan["pads"]),
        *legend,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _description(found: Mapping[str, Any]) -> str:
    pins = "; ".join(f"pin {pin['pin']}: {pin['driver']}, {pin['hz']:,.10g} Hz" for pin in found["pins"])
    return f"The cells that the pins depend on, and the ways between them. {pins}."


def _detail(plan: Mapping[str, Any], x: float) -> _View:
    """Return the part with the circuit's cells, with a tile more on each side; wires can leave it."""
    places = [*((x, y) for _, x, y, _, _ in plan["cells"]), *((x, y) for _, x, y in plan["pads"])]
    columns, rows = zip(*places, strict=True)
    left, right = max(0, min(columns) - 1), min(_COLUMNS - 1, max(columns) + 1)
    bottom, top = max(0, min(rows) - 1), min(_ROWS - 1, max(rows) + 1)
    tile = min(_TILE_MOST, max(_TILE_LEAST, _DETAIL / max(right - left + 1, top - bottom + 1)))
    return _View(left, bottom, right, top, tile, x, _HEAD + 18)


def _rect(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="var(--{fill})"{more}/>'


def _tiles(view: _View, numbered: bool) -> Iterator[str]:
    """Yield the ground: columns of tiles, the edges over them, and the gaps between tiles."""
    for x in range(view.left, view.right + 1):
        fill = "edge" if x in (0, _COLUMNS - 1) else "ram" if x in _RAM_COLUMNS else "tile"
        yield _rect(view.corner(x, view.top)[0], view.y, view.tile, view.height, fill)
    for y in {0, _ROWS - 1} & {view.bottom, view.top}:
        yield _rect(view.x, view.corner(view.left, y)[1], view.width, view.tile, "edge")
    gaps = [f"M{view.x + n * view.tile:.1f} {view.y:.1f}v{view.height:.1f}" for n in range(view.right - view.left + 2)]
    gaps += [f"M{view.x:.1f} {view.y + n * view.tile:.1f}h{view.width:.1f}" for n in range(view.top - view.bottom + 2)]
    yield f'<path d="{"".join(gaps)}" stroke="var(--paper)" stroke-width="{view.tile / 12:.1f}"/>'
    if numbered:
        yield from _numbers(view)


def _numbers(view: _View) -> Iterator[str]:
    for x in range(view.left, view.right + 1):
        at = view.middle(x, view.bottom)[0]
        yield f'<text class="soft" text-anchor="middle" x="{at:.1f}" y="{view.y + view.height + 14:.1f}">{x}</text>'
    for y in range(view.bottom, view.top + 1):
        at = view.middle(view.left, y)[1] + 4
        yield f'<text class="soft" text-anchor="end" x="{view.x - 6:.1f}" y="{at:.1f}">{y}</text>'


def _used(view: _View, plan: Mapping[str, Any]) -> Iterator[str]:
    for x, y in sorted({(x, y) for _, x, y, _, _ in plan["cells"]}):
        left, top = view.corner(x, y)
        yield _rect(left + 0.5, top + 0.5, view.tile - 1, view.tile - 1, "c0")
    for _, x, y in plan["pads"]:
        left, top = view.middle(x, y)
        yield f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3.5" fill="var(--pin)"/>'


def _frame(overview: _View, detail: _View) -> str:
    left, top = overview.corner(detail.left, detail.top)
    width, height = (detail.right - detail.left + 1) * _SMALL, (detail.top - detail.bottom + 1) * _SMALL
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width}" height="{height}" fill="none" stroke="var(--ink)" '
        'stroke-width="1"/>'
    )


def _ways(view: _View, legs: Sequence[Sequence[int]]) -> Iterator[str]:
    """Yield a line for each pair of tiles, the wider the more wires go there; of those that leave the view, none."""
    wires = Counter(tuple(sorted(((leg[0], leg[1]), (leg[2], leg[3])))) for leg in legs)
    wires = Counter({ends: n for ends, n in wires.items() if all(view.has(*end) for end in ends)})
    yield '<g stroke="var(--way)" stroke-linecap="round" stroke-opacity="0.55">'
    for (one, other), n in sorted(wires.items()):
        (x1, y1), (x2, y2) = view.middle(*one), view.middle(*other)
        yield (
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke-width="{min(view.tile / 6, 1 + n**0.5 / 2):.1f}"/>'
        )
    yield "</g>"


def _cells(view: _View, cells: Sequence[Sequence[Any]]) -> Iterator[str]:
    blocks: dict[tuple[int, int], int] = {}
    dsp_blocks = {(x, y) for kind, x, y, _, _ in cells if kind == "dsp_block"}
    for kind, x, y, number, clock in cells:
        left, top = view.corner(x, y)
        step = view.tile * 0.9 / _CELLS
        at, high = top + view.tile * 0.05 + (_CELLS - 1 - number) * step, step * 0.8
        if kind == "look_up_table":
            yield _rect(left + view.tile * 0.12, at, view.tile * 0.36, high, "table")
        elif kind == "carry":
            yield _rect(left + view.tile * 0.52, at, view.tile * 0.08, high, "ink")
        elif kind == "flip_flop":
            yield _rect(left + view.tile * 0.64, at, view.tile * 0.24, high, _hue(clock))
        else:
            blocks[x, y] = max(clock, blocks.get((x, y), -1))
    for (x, y), clock in sorted(blocks.items()):
        if (x, y) in dsp_blocks:
            yield from _block(view, x, y, clock, _DSP_ROWS, "DSP")
        else:
            yield from _block(view, x, y, clock, *((2, "RAM") if x in _RAM_COLUMNS else (1, "")))


def _block(view: _View, x: int, y: int, clock: int, rows: int, name: str) -> Iterator[str]:
    """Yield what is no logic cell: a block of so many tiles upwards, or the register of a pin."""
    left, top = view.corner(x, y + rows - 1)
    height = view.tile * rows * 0.8
    yield _rect(left + view.tile * 0.1, top + view.tile * 0.1, view.tile * 0.8, height, _hue(clock), ' rx="3"')
    if name:
        yield (
            f'<text text-anchor="middle" x="{left + view.tile / 2:.1f}" y="{top + view.tile * rows / 2 + 4:.1f}" '
            f'style="fill: var(--paper); font-size: {max(8, view.tile / 4):.0f}px">{name}</text>'
        )


def _hue(clock: int) -> str:
    return f"c{clock % _CLOCKS}" if clock >= 0 else "table"


def _pads(view: _View, pads: Sequence[Sequence[int]]) -> Iterator[str]:
    for pin, x, y in pads:
        at, top = view.middle(x, y)
        yield f'<circle cx="{at:.1f}" cy="{top:.1f}" r="{view.tile * 0.36:.1f}" fill="var(--pin)"/>'
        size = max(9, view.tile * 0.34)
        yield (
            f'<text text-anchor="middle" x="{at:.1f}" y="{top + size * 0.35:.1f}" '
            f'style="fill: var(--paper); font-size: {size:.0f}px; font-weight: 600">{pin}</text>'
        )


def _legend(found: Mapping[str, Any], overview: _View) -> Iterator[str]:
    entries = [("table", "look-up table")]
    if found["cells"]["carries"]:
        entries.append(("ink", "carry"))
    for index, clock in enumerate(found["clocks"]):
        entries.append((_hue(index), f"clocked by {_shorter(clock['clock'])}{_frequency(clock['hz'])}"))
    entries.append(("way", "wires"))
    entries += [("pin", f"pin {pin['pin']}: {pin['hz']:,.10g} Hz") for pin in found["pins"]]
    for line, (fill, text) in enumerate(entries):
        y = overview.y + overview.height + 30 + line * _LEGEND_LINE
        top, high = (y - 6, 3) if fill == "way" else (y - 10, 12)
        yield _rect(overview.x, top, 12, high, fill, ' rx="1.5"')
        yield f'<text x="{overview.x + 20:g}" y="{y:g}">{escape(text)}</text>'


def _frequency(hertz: float | None) -> str:
    if hertz is None:
        return ""
    return f", {hertz / 1e6:.4g} MHz" if hertz >= _MEGA else f", {hertz / 1e3:.4g} kHz"


def _shorter(driver: str) -> str:
    """Return what drives a clock so that it fits in beside the chip."""
    return driver.replace("flip-flop ", "FF ").replace(" in tile ", " at ").replace("look-up table ", "LUT ")
