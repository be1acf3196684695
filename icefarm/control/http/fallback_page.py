"""Pure: no I/O, no clock.  Plain pages without a script: boards where no dashboard was built, and unknown addresses."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from icefarm.contract import DeviceRecord, WorkerRecord
from icefarm.text.counts import counted

__all__ = ["STYLE", "closed_page", "not_found_page", "page", "unavailable_page"]

STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
.wide { overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8886; vertical-align: top; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; }
"""

_FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{root}style.css">
</head>
<body>
<main>
<h1>icefarm</h1>
{body}
</main>
</body>
</html>
"""


#: From a page at the root to the root; relative, because a proxy may put a path before it.
_HERE = "./"
_NOT_BUILT = (
    "<p>The live dashboard is not part of this installation: it was built with <code>ICEFARM_DASHBOARD=skip</code>. "
    "Install icefarm without that for the dashboard; <code>icefarm watch</code> shows the same in a terminal.</p>"
)


def page(version: str, url: str, workers: Sequence[WorkerRecord], devices: Sequence[DeviceRecord]) -> str:
    """Return the page.  ``url`` is where workers and clients connect."""
    free = sum(device.status == "available" for device in devices)
    online = sum(worker.status == "online" for worker in workers)
    parts = [
        f"<p>A farm of FPGA boards, icefarm {escape(version)}: {counted(len(devices), 'board')}, {free} available; "
        f"{online} of {counted(len(workers), 'worker')} online.</p>",
        _boards(devices) if devices else "<p>There is no board yet. Add a worker that has some:</p>",
        _workers(workers) if workers else "",
        _how_to_add(url),
        _NOT_BUILT,
    ]
    return _framed("\n".join(part for part in parts if part))


def closed_page(version: str, url: str) -> str:
    """Return the page for users who have not signed in: it shows nothing of boards and clients."""
    body = f"<p>A farm of FPGA boards, icefarm {escape(version)}. It needs a token: use <code>icefarm watch</code>.</p>"
    return _framed("\n".join([body, _how_to_add(url), _NOT_BUILT]))


def unavailable_page(reason: str) -> str:
    """Return the page that explains why there is nothing to show."""
    return _framed(f"<p>The farm's state is not available now: {escape(reason)}</p>")


def not_found_page(path: str) -> str:
    """Return the page for an address at which there is nothing."""
    root = "../" * (path.count("/") - 1) or _HERE
    body = (
        f'<p>There is nothing at <code>{escape(path)}</code>. The farm is at its <a href="{root}">first page</a>; '
        f'the HTTP API is under <code>/api/</code> (<a href="{root}api/openapi.json">its description</a>).</p>'
    )
    return _framed(body, "Not found · icefarm", root)


def _framed(body: str, title: str = "icefarm", root: str = _HERE) -> str:
    return _FRAME.format(body=body, title=title, root=root)


def _how_to_add(url: str) -> str:
    return (
        f"<h2>Add a worker</h2>\n<p>On the host that has the boards:</p>\n<pre>{_command(url)}</pre>\n"
        "<p>With <code>--virtual-boards 4</code> it runs virtual boards.</p>"
    )


def _command(url: str) -> str:
    return escape(f"pip install icefarm\ntwistd -n icefarm-worker --control {url} --name NAME")


def _boards(devices: Sequence[DeviceRecord]) -> str:
    head = ("Board", "Worker", "State", "Client", "Kind", "Firmware", "Evaluations", "Failures")
    rows = [
        (
            device.serial,
            device.worker,
            device.status if device.reason is None else f"{device.status}: {device.reason}",
            ", ".join(device.shares.values()) or device.client,
            device.kind,
            " ".join(text for text in (device.firmware, device.firmware_version) if text),
            device.evaluations,
            device.failures,
        )
        for device in devices
    ]
    return _table("Boards", head, rows)


def _workers(workers: Sequence[WorkerRecord]) -> str:
    head = ("Worker", "State", "Host", "Boards", "Kinds", "icefarm")
    rows = [
        (
            worker.name,
            f"{worker.status}, being drained" if worker.draining else worker.status,
            worker.host,
            worker.devices,
            ", ".join(worker.kinds),
            worker.version,
        )
        for worker in workers
    ]
    return _table("Workers", head, rows)


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    lines = [
        "<tr>" + "".join(f"<td>{'' if cell is None else escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    ]
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table>\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )
