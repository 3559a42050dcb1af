"""The pictures of the generated sample: shapes, textures, colours, background, light; nothing about files.

A picture is composed in floating point, 64×64 pixels at a time for a whole stack of B images, so that numpy does
the work and releases Python's lock: several threads draw at once, without worker processes. All edges come from
signed distances, hence are anti-aliased without supersampling. Double precision throughout: two processors that
differ in the last bit of a sine then still agree on every rounded pixel.

    draw(kind, count, rng) -> images uint8 (count, 64, 64, 3), boxes int64 (count, 4)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIZE = 64  # pixels, as in Tiny ImageNet
_WINDOW = 28  # pixels: clutter is drawn in windows of this size

Array = np.ndarray
Shape = Callable[[Array, Array], tuple[Array, Array | None]]  # (u, v) -> inside distance, accent distance
Texture = Callable[[Array, Array, Array, Array], Array]  # (u, v, frequency, noise) -> amount of second colour
Paint = tuple[float, float, float, float]  # hue 0..1, spread of the hue, saturation, brightness


@dataclass(frozen=True)
class Kind:
    """What makes a class: a shape, filled with two colours mixed by a texture, and an accent (stem, eye, …)."""

    shape: Shape
    texture: Texture
    first: Paint
    second: Paint
    accent: Paint = (0.1, 0.03, 0.5, 0.3)
    tilt: float = 0.8  # largest rotation in radians
    mirrored: bool = True  # half of the pictures face the other way
    swapped: bool = False  # half of the pictures have the two colours the other way round
    upright: bool = False  # the texture keeps its direction relative to the shape


# --- shapes: (u, v) in units of the object's radius, v downwards -> distance to the edge, positive inside ---


def _polar(u: Array, v: Array) -> tuple[Array, Array]:
    return np.hypot(u, v), np.arctan2(u, -v)  # angle 0 points up


def _star(u: Array, v: Array, points: int, inner: float) -> Array:
    """A star with `points` tips at radius 1 and notches at radius `inner`: distance to the folded edge line."""
    radius, angle = _polar(u, v)
    sector = np.pi / points
    folded = np.abs((angle + sector) % (2 * sector) - sector)  # 0 at a tip, `sector` at a notch
    notch_x, notch_y = inner * np.cos(sector), inner * np.sin(sector)
    length = np.hypot(notch_y, 1 - notch_x)
    return ((1 - radius * np.cos(folded)) * notch_y - radius * np.sin(folded) * (1 - notch_x)) / length


def _ellipse(u: Array, v: Array, width: float, height: float) -> Array:
    return (1 - np.hypot(u / width, v / height)) * min(width, height)


def star(u: Array, v: Array) -> tuple[Array, None]:
    return _star(u, v, 5, 0.47), None


def sun(u: Array, v: Array) -> tuple[Array, Array]:
    return _star(u, v, 11, 0.66), 0.45 - np.hypot(u, v)


def disc(u: Array, v: Array) -> tuple[Array, None]:
    return 0.88 - np.hypot(u, v), None


def ring(u: Array, v: Array) -> tuple[Array, None]:
    return 0.2 - np.abs(np.hypot(u, v) - 0.75), None


def crescent(u: Array, v: Array) -> tuple[Array, None]:
    return np.minimum(0.95 - np.hypot(u, v), np.hypot(u - 0.45, v) - 0.72), None


def fish(u: Array, v: Array) -> tuple[Array, Array]:
    tail = np.minimum(0.95 - u, 0.75 * (u - 0.35) - np.abs(v)) * 0.8
    fin = np.minimum(v + 0.68, 0.25 - np.abs(u + 0.2 * v)) * 0.8
    body = _ellipse(u + 0.2, v, 0.78, 0.5)
    return np.maximum(np.maximum(body, tail), np.minimum(fin, -v)), 0.1 - np.hypot(u + 0.62, v + 0.1)


def mushroom(u: Array, v: Array) -> tuple[Array, Array]:
    cap = np.minimum(_ellipse(u, v - 0.1, 0.92, 0.98), 0.1 + 0.08 * np.cos(3 * u) - v)
    stem = np.minimum(0.2 + 0.1 * np.maximum(v, 0) ** 2 - np.abs(u), np.minimum(v + 0.2, 0.92 - v))
    return np.maximum(cap, stem), np.minimum(stem, -cap)


def flower(u: Array, v: Array) -> tuple[Array, Array]:
    radius, angle = _polar(u, v)
    return (0.66 + 0.3 * np.cos(5 * angle) - radius) * 0.7, 0.27 - radius


def butterfly(u: Array, v: Array) -> tuple[Array, Array]:
    side = np.abs(u)
    upper = _ellipse(side - 0.5 - 0.15 * (v + 0.3), v + 0.34 + 0.3 * (side - 0.5), 0.48, 0.4)
    lower = _ellipse(side - 0.4, v - 0.42, 0.36, 0.38)
    body = _ellipse(u, v, 0.1, 0.72)
    return np.maximum(np.maximum(upper, lower), body), body


def heart(u: Array, v: Array) -> tuple[Array, None]:
    return (0.88 - np.hypot(u, 1.1 * v + 0.72 * np.sqrt(np.abs(u) + 0.002) - 0.28)) * 0.6, None


def leaf(u: Array, v: Array) -> tuple[Array, Array]:
    rib = np.minimum(0.045 - np.abs(u), np.minimum(v + 0.85, 1.25 - v))
    return np.maximum(1.25 - np.hypot(np.abs(u) + 0.7, v), rib), rib


def ladybird(u: Array, v: Array) -> tuple[Array, Array]:
    head = _ellipse(u, v + 0.72, 0.4, 0.32)
    shell = _ellipse(u, v - 0.08, 0.78, 0.84)
    return np.maximum(head, shell), np.maximum(np.minimum(head, -shell), np.minimum(shell, 0.04 - np.abs(u)))


def kite(u: Array, v: Array) -> tuple[Array, Array]:
    side = np.abs(u)
    body = np.minimum((v + 1) * 0.655 - side * 0.755, (0.85 - v) * 0.509 - side * 0.861)
    string = np.minimum(0.05 - np.abs(u - 0.12 * np.sin(9 * (v - 0.85))), np.minimum(v - 0.8, 1.45 - v))
    return np.maximum(body, string), string


def cogwheel(u: Array, v: Array) -> tuple[Array, None]:
    radius, angle = _polar(u, v)
    rim = 0.8 + 0.16 * np.clip(2.5 * np.cos(8 * angle), -1, 1) - radius
    return np.minimum(rim, radius - 0.3), None


def umbrella(u: Array, v: Array) -> tuple[Array, Array]:
    cap = np.minimum(0.98 - np.hypot(u, v - 0.15), 0.15 - 0.1 * np.abs(np.sin(4.8 * u)) - v)
    stick = np.minimum(0.055 - np.abs(u), np.minimum(v + 0.2, 0.9 - v))
    hook = np.minimum(0.055 - np.abs(np.hypot(u - 0.16, v - 0.85) - 0.16), v - 0.85)
    handle = np.maximum(stick, hook)
    return np.maximum(cap, handle), np.minimum(handle, -cap)


# --- textures: how much of the second colour, 0..1, at (u, v); `frequency` (B, 1, 1) about 1, `noise` (B, H, W) ---


def _soft(wave: Array, sharpness: float = 2.5) -> Array:
    return np.clip(0.5 + sharpness * wave, 0, 1)


def plain(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    return np.clip(0.35 + 0.6 * noise, 0, 1)


def striped(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    return _soft(np.sin(14 * frequency * (u + 0.3 * v) + noise))


def spotted(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    a, b = 10 * frequency * (u + 0.06 * noise), 10 * frequency * (v - 0.06 * noise)
    return _soft(np.cos(a) * np.cos(b) - 0.42, 4)


def dotted(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    """Larger and fewer spots than `spotted`."""
    return _soft(np.cos(6.5 * frequency * u) * np.cos(6.5 * frequency * (v - 0.3)) - 0.4, 3)


def checked(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    return _soft(np.sin(9 * frequency * (u + v)) * np.sin(9 * frequency * (u - v)), 4)


def scaly(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    across = 4.2 * frequency * u
    column = np.floor(across)
    along = (4.2 * frequency * v + 0.5 * (column % 2)) % 1 - 0.5
    return _soft(0.42 - np.abs(np.hypot(along, 0.8 * (across - column)) - 0.2), 3) * 0.9


def marbled(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    return _soft(np.sin(7 * frequency * u + 6 * noise), 1.5)


def ringed(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    return _soft(np.sin(12 * frequency * np.hypot(u, v) + 0.5 * noise))


def sectors(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    return _soft(np.sin(5 * np.arctan2(u, -v + 0.35)), 3)


def veined(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    return _soft(np.sin(11 * frequency * (v + 0.8 * np.abs(u))) - 0.6)


def bordered(u: Array, v: Array, frequency: Array, noise: Array) -> Array:
    return _soft(np.hypot(u, v) - 0.72, 5)


# --- composing a picture ---

# Colours of grounds: (hue, saturation, brightness) of the dark and of the light end
_GROUNDS = np.array([
    [[0.28, 0.60, 0.22], [0.24, 0.55, 0.62]],  # grass
    [[0.09, 0.45, 0.50], [0.12, 0.30, 0.88]],  # sand
    [[0.57, 0.65, 0.30], [0.52, 0.45, 0.78]],  # water
    [[0.06, 0.55, 0.22], [0.08, 0.50, 0.58]],  # wood
    [[0.58, 0.45, 0.62], [0.57, 0.10, 0.97]],  # sky
    [[0.60, 0.08, 0.28], [0.10, 0.08, 0.74]],  # stone
    [[0.72, 0.45, 0.20], [0.96, 0.45, 0.72]],  # dusk
    [[0.33, 0.35, 0.12], [0.16, 0.60, 0.50]],  # forest
])  # fmt: skip

_Y, _X = np.mgrid[0:SIZE, 0:SIZE] * (2 / SIZE) + (1 / SIZE - 1)  # pixel centres, -1..1, each (64, 64)


def _rgb(hsv: Array) -> Array:
    """Hue (any), saturation and brightness (0..1) (3, ...) to red, green, blue 0..1 (3, ...)."""
    hue, saturation, brightness = hsv
    wheel = np.stack([np.abs((hue + turn / 3) % 1 * 6 - 3) - 1 for turn in (0, 2, 1)])
    return brightness * (1 - saturation * (1 - np.clip(wheel, 0, 1)))


def _paint(rng: np.random.Generator, paint: Paint, count: int) -> Array:
    """(3, count, 1, 1) variations of one colour."""
    hue, spread, saturation, brightness = paint
    hsv = np.stack(
        [
            hue + spread * rng.uniform(-1, 1, count),
            np.clip(saturation + rng.uniform(-0.2, 0.12, count), 0, 1),
            np.clip(brightness + rng.uniform(-0.2, 0.12, count), 0.05, 1),
        ]
    )
    return _rgb(hsv)[:, :, None, None]


def _interpolation(cells: int) -> Array:
    """(64, cells + 3) weights of a uniform cubic B-spline: smooth noise is weights · random numbers · weightsᵀ."""
    position = (np.arange(SIZE) + 0.5) * cells / SIZE
    base = position.astype(int)
    t = position - base
    weights = np.zeros((SIZE, cells + 3))
    rows = np.arange(SIZE)
    weights[rows, base] = (1 - t) ** 3 / 6
    weights[rows, base + 1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[rows, base + 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[rows, base + 3] = t**3 / 6
    return weights


_SPLINES = {cells: _interpolation(cells) for cells in (2, 3, 4, 6, 8, 12, 16, 20, 32)}


def _noise(rng: np.random.Generator, count: int, octaves: tuple[tuple[int, int, float], ...]) -> Array:
    """(count, 64, 64) about -1..1: octaves of (cells down, cells across, weight), as in Perlin's noise of 1985."""
    total = np.zeros((count, SIZE, SIZE))
    for down, across, weight in octaves:
        grid = rng.uniform(-1, 1, (count, down + 3, across + 3))
        total += 2 * weight * (_SPLINES[down] @ grid @ _SPLINES[across].T)
    return total


def _mix(first: Array, second: Array, amount: Array) -> Array:
    mixed = (second - first) * amount
    mixed += first
    return mixed


def _column(values: Array) -> Array:
    return values[:, None, None]  # (B,) -> (B, 1, 1), to meet (B, H, W)


def _ground(rng: np.random.Generator, count: int) -> Array:
    """Background (3, B, 64, 64): natural colours over smooth noise, half of them with a grain."""
    cloudy = ((3, 3, 0.5), (6, 6, 0.3), (12, 12, 0.2), (20, 20, 0.25))
    grained = ((3, 3, 0.4), (12, 2, 0.5), (32, 4, 0.3), (16, 16, 0.1))
    half = count // 2
    texture = np.concatenate([_noise(rng, half, cloudy), _noise(rng, count - half, grained)])[rng.permutation(count)]
    ends = _GROUNDS[rng.integers(0, len(_GROUNDS), count)] + rng.uniform(-1, 1, (count, 2, 3)) * [0.04, 0.1, 0.12]
    ends[..., 1:] = np.clip(ends[..., 1:], 0, 1)
    dark, light = np.moveaxis(_rgb(np.moveaxis(ends, -1, 0))[..., None, None], 2, 0)  # each (3, B, 1, 1)
    return _mix(dark, light, np.clip(0.5 + 0.6 * texture, 0, 1))


def _local(dx: Array, dy: Array, size: Array, angle: Array, squeeze: Array) -> tuple[Array, Array]:
    """Offsets from an object's centre, turned and scaled into the object's own frame (u, v)."""
    cos, sin = np.cos(angle) / size, np.sin(angle) / size
    return (cos * dx + sin * dy) * squeeze, (cos * dy - sin * dx) / squeeze


def _coverage(distance: Array, size: Array, softness: Array | float) -> Array:
    """Share of each pixel inside: `distance` in object units, edges `softness` pixels wide."""
    return np.clip(0.5 + distance * (size * (SIZE / 2) / softness), 0, 1)


def _clutter(rng: np.random.Generator, picture: Array, share: float) -> None:
    """Lay a pebble, tile or stick in any colours, sometimes textured, on a `share` of the pictures, in place."""
    chosen = np.flatnonzero(rng.random(picture.shape[1]) < share)
    count = len(chosen)
    if not count:
        return
    left, top = rng.integers(0, SIZE - _WINDOW + 1, (2, count))
    size, angle, long = (rng.uniform(*limits, (count, 1, 1)) for limits in ((0.12, 0.26), (0.0, np.pi), (1.2, 3.0)))
    ruler = (np.arange(_WINDOW) - (_WINDOW - 1) / 2) * (2 / SIZE)
    u, v = _local(ruler[None, None, :], ruler[None, :, None], size, angle, np.ones_like(size))
    form, pattern = rng.integers(0, 3, (2, count, 1, 1))
    side, end = np.abs(u), np.abs(v)
    distance = np.where(
        form == 0,
        1 - np.hypot(u, v),
        np.minimum(np.where(form == 1, 1, 0.3) - side, np.where(form == 1, 1, long) - end),
    )
    stripes, dots = _soft(np.sin(7 * u)), _soft(np.cos(6 * u) * np.cos(6 * v) - 0.3, 4)
    amount = np.where(pattern == 0, 0, np.where(pattern == 1, stripes, dots))
    first, second = (_paint(rng, (0.5, 0.5, 0.5, 0.6), count) for _ in range(2))
    colour = _mix(first, second, amount)
    span = np.arange(_WINDOW)
    place = (slice(None), chosen[:, None, None], (top[:, None] + span)[:, :, None], (left[:, None] + span)[:, None, :])
    picture[place] = _mix(picture[place], colour, _coverage(distance, size, 1.5))


def draw(kind: Kind, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """`count` pictures of one class: uint8 (count, 64, 64, 3) and boxes int64 (count, 4): left, top, right, bottom.

    Random per picture: background, clutter, position, scale, rotation, mirror, bend, colours, frequency of the
    texture, light, shadow, occlusion, focus, exposure, noise. Only `kind` decides shape, texture and palette.
    """

    def vary(low: float, high: float) -> Array:
        return rng.uniform(low, high, (count, 1, 1))

    picture = _ground(rng, count)
    for _ in range(2):
        _clutter(rng, picture, 0.35)

    noise = _noise(rng, count, ((3, 3, 0.8), (8, 8, 0.4)))
    bend = _noise(rng, count, ((2, 2, 0.09),))
    size = vary(0.6, 0.95)
    dx, dy = _X - vary(-0.27, 0.27) + bend, _Y - vary(-0.27, 0.27) + bend[:, ::-1, ::-1]
    u, v = _local(dx, dy, size, vary(-kind.tilt, kind.tilt), vary(0.85, 1.15))
    if kind.mirrored:
        u = u * rng.choice([-1.0, 1.0], (count, 1, 1))
    focus = vary(1.0, 1.5)  # width of edges in pixels
    distance, accent = kind.shape(u, v)

    # The shadow is blurred: every second pixel is enough
    shadow = kind.shape(u[:, ::2, ::2] - vary(-0.25, 0.25), v[:, ::2, ::2] - vary(0.05, 0.25))[0]
    picture *= (1 - 0.5 * _coverage(shadow, size, 8.0)).repeat(2, axis=1).repeat(2, axis=2)

    turn, frequency = vary(-0.6, 0.6), vary(0.8, 1.3)
    if kind.upright:
        turn = 0 * turn
    across, along = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
    amount = kind.texture(across, along, frequency, noise)
    if kind.swapped:
        amount = np.where(rng.random((count, 1, 1)) < 0.5, 1 - amount, amount)
    colour = _mix(_paint(rng, kind.first, count), _paint(rng, kind.second, count), amount)
    if accent is not None:
        colour = _mix(colour, _paint(rng, kind.accent, count), _coverage(accent, size, focus))
    # Light from one side, and a darker rim: the flat shape becomes a body
    light = vary(-0.3, 0.3) * _X + vary(-0.35, 0.1) * _Y
    colour *= vary(0.7, 1.1) * (0.72 + 0.28 * np.clip(distance * 5, 0, 1) + light + 0.12 * noise)
    picture = _mix(picture, colour, _coverage(distance, size, focus))

    _clutter(rng, picture, 0.3)  # in front: occlusion
    exposure = vary(0.8, 1.4) * (1 + vary(-0.3, 0.3) * _X + vary(-0.3, 0.3) * _Y)
    picture *= 255 * rng.uniform(0.7, 1.2, (3, count, 1, 1)) * exposure
    picture += rng.integers(-8, 9, picture.shape, dtype=np.int8)  # the camera's grain
    images = np.clip(picture, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(images, 0, -1)), _boxes(distance > 0)


def _boxes(inside: Array) -> Array:
    """Smallest boxes around the true pixels of (B, 64, 64), as left, top, right, bottom, all inclusive."""
    lines: list[Array] = [np.any(inside, axis=1), np.any(inside, axis=2)]  # columns (B, 64), rows (B, 64)
    first = [line.argmax(axis=1) for line in lines]
    last = [SIZE - 1 - line[:, ::-1].argmax(axis=1) for line in lines]
    return np.stack([*first, *last], axis=1)
