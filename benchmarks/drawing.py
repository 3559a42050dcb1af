"""The rooms of the package as a drawing, from their imports: `make drawing` writes rooms.svg.

A row is a height of the layers in pyproject.toml. A line is an import from a room into a lower one; one that follows
from others on the way (its transitive reduction) is left out, and stands in the description for screen readers.
tests/test_drawing.py holds the stored drawing to the imports of today.
"""

import html
import tomllib
from pathlib import Path

import grimp
import networkx

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "rooms.svg"
WIDTH, HEIGHT, ROOM, GAP = 640, 40, 120, 30  # pixels: the drawing, a room's height and width, between rows


def layers() -> list[list[str]]:
    """Rooms from the top down, those of one height together."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (rows,) = [one["layers"] for one in settings["contracts"] if one["type"] == "layers"]
    return [[room.strip() for room in row.split("|")] for row in rows if row != "__main__"]


def imports() -> networkx.DiGraph:
    """An edge from each room to each other one that some file of it imports."""
    graph, found = grimp.build_graph("tinylab", cache_dir=None), networkx.DiGraph()
    found.add_nodes_from(room for row in layers() for room in row)
    for module in sorted(graph.modules):
        for other in sorted(graph.find_modules_directly_imported_by(module)):
            here, there = (name.split(".")[1] if "." in name else "" for name in (module, other))
            if here != there and here in found and there in found:
                found.add_edge(here, there)
    return found


def drawing() -> str:
    rows, graph = layers(), imports()
    place: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        for column, room in enumerate(row):
            across = WIDTH / 2 + (column - (len(row) - 1) / 2) * 1.5 * ROOM
            place[room] = (across, 10 + HEIGHT / 2 + number * (HEIGHT + GAP))
    height = 20 + len(rows) * (HEIGHT + GAP) - GAP
    told = (f"{room} imports {', '.join(below)}" for room in place if (below := sorted(graph.successors(room))))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="15">',
        '<title id="title">The rooms of tinylab: each imports only from rooms below it</title>',
        f'<desc id="desc">{html.escape("; ".join(told))}</desc>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for one, other in sorted(networkx.transitive_reduction(graph).edges):
        (x, y), (to_x, to_y) = place[one], place[other]
        # a line past other rows swings out to the side
        bend = 0 if to_y - y <= HEIGHT + GAP or x != to_x else ROOM
        start, end, third = y + HEIGHT / 2, to_y - HEIGHT / 2, (to_y - y - HEIGHT) / 3
        curve = f"C{x + bend:.0f} {start + third:.0f} {to_x + bend:.0f} {end - third:.0f} {to_x:.0f} {end:.0f}"
        parts.append(f'<path d="M{x:.0f} {start:.0f} {curve}" fill="none" stroke="#4a6fa5" stroke-width="1.6"/>')
    for room, (x, y) in place.items():
        parts.append(
            f'<rect x="{x - ROOM / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{ROOM}" height="{HEIGHT}" rx="6" '
            f'fill="#f4f1e8" stroke="#333333"/><text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle" '
            f'fill="#111111">{room}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    OUT.write_text(drawing(), encoding="utf-8")
    print(f"{OUT.name}: {len(imports())} rooms, {imports().number_of_edges()} imports between them")
