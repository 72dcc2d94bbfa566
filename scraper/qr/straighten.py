"""Undoes the bend of a code that no engine reads: finds where on the photo each of its modules lies.

The three finder patterns give a first, flat guess; alignment patterns are looked for near where it puts them. Then the
guess is drawn as a clean code, compared with the photo place by place, and moved to where the two agree (Lucas and
Kanade's step, over windows of a few modules), first as a smooth bend of the whole, then freely. What the modules say is
read anew at each turn, so the whole code guides the grid, not the fixed patterns alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scraper.qr import matrix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scraper.qr.finders import Corner, Finder

    Floats = NDArray[np.float32]

PER_MODULE = 5  # samples along a module's edge in the straightened picture
MARGIN = 2  # modules of quiet zone around it
_FINDER_EDGE = 9  # modules: a finder pattern with its light frame
_SURE = 0.35  # agreement of fixed patterns with the photo below which a grid is not believed
_CERTAIN = 0.96  # and above which its size is not tried with other alignment patterns
_A_FINDER = 0.85  # likeness
_LIKE_A_FINDER = 0.5
_BELIEVED = 0.6  # and from which its modules are worth mending
_STRANGE_SIZES = 2  # in none of which a grid is believed: the three finder patterns are no code's
_MODULE_PIXELS = 6.0  # a finer photo is made coarser


@dataclass(frozen=True, slots=True)
class Grid:
    """A code's modules: ``darkness`` (n, n), above zero where dark, about ±1; ``outline`` its corners in pixels.

    ``agreement`` says how well the patterns that every such code has are found on it, 1 at best.
    """

    darkness: Floats
    agreement: float
    outline: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class _Patch:
    """The code's surroundings, light and contrast made even, dark above zero; ``factor`` pixels of it are one of the page."""

    pixels: Floats
    left: int
    top: int
    factor: float

    def on_page(self, place: Floats) -> tuple[float, float]:
        """A place in the patch as one on the page."""
        return float(place[0]) / self.factor + self.left, float(place[1]) / self.factor + self.top


def grids(grey: NDArray[np.uint8], corner: Corner) -> Iterator[Grid]:
    """Readings of the code whose finder patterns are given, the likeliest first; none where it turns out not to be one.

    A code's own finder patterns give a grid that is believed within the first two sizes that they suggest; those of
    different codes give none in any, and cost the most to fit.
    """
    import numpy as np

    patch = _cut_out(grey, corner)
    axes = _axes(corner)
    frames = []
    for finder in (corner.origin, corner.right, corner.down):
        middle = ((finder.x - patch.left) * patch.factor, (finder.y - patch.top) * patch.factor)
        start = np.array(
            [[axes[0][0], axes[1][0], middle[0]], [axes[0][1], axes[1][1], middle[1]]], np.float32
        )
        start[:, :2] *= patch.factor
        frame, score = _settled(patch.pixels, start)
        for size in (0.72, 1.35):  # the distance between them tells a module's size badly in a steep view
            if score < _A_FINDER:
                resized = np.column_stack([start[:, :2] * np.float32(size), start[:, 2]])
                frame, score = max((frame, score), _settled(patch.pixels, resized), key=lambda one: one[1])
        if score < _LIKE_A_FINDER:
            return
        frames.append(frame)
    strange = 0
    for version in _versions(frames):
        for anchors in _anchors(patch.pixels, frames, version):
            grid = _fitted(patch, frames, version, anchors)
            if grid is None or grid.agreement < _BELIEVED:
                strange += 1
                break
            yield grid
            if grid.agreement > _CERTAIN:
                break
        if strange == _STRANGE_SIZES:
            return


def _axes(corner: Corner) -> tuple[Floats, Floats]:
    """One module to the right and one down, in pixels."""
    import numpy as np

    across = np.array([corner.right.x - corner.origin.x, corner.right.y - corner.origin.y], np.float32)
    along = np.array([corner.down.x - corner.origin.x, corner.down.y - corner.origin.y], np.float32)
    return across / (corner.modules - 7), along / (corner.modules - 7)


def _cut_out(grey: NDArray[np.uint8], corner: Corner) -> _Patch:
    import cv2
    import numpy as np

    three: tuple[Finder, ...] = (corner.origin, corner.right, corner.down)
    xs = [one.x for one in three] + [corner.right.x + corner.down.x - corner.origin.x]
    ys = [one.y for one in three] + [corner.right.y + corner.down.y - corner.origin.y]
    reach = 12 * max(one.run for one in three)
    left, top = max(0, int(min(xs) - reach)), max(0, int(min(ys) - reach))
    patch = grey[top : int(max(ys) + reach), left : int(max(xs) + reach)].astype(np.float32)
    module = sum(one.run for one in three) / 3
    factor = min(1.0, _MODULE_PIXELS / module)
    if factor < 1:
        patch = cv2.resize(patch, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    module *= factor
    if module > 2.5:
        patch = _soft(patch, 0.12 * module)
    mean = _broad(patch, 3.5 * module)
    spread = np.sqrt(np.maximum(_broad((patch - mean) ** 2, 4.5 * module), 0))
    floor = max(2.0, 0.1 * float(np.percentile(spread, 90)))
    return _Patch(np.clip((mean - patch) / (spread + floor), -2, 2).astype(np.float32), left, top, factor)


def _soft(values: Floats, sigma: float) -> Floats:
    import cv2

    return cv2.GaussianBlur(values, (0, 0), sigma)  # type: ignore[return-value]


def _broad(values: Floats, sigma: float) -> Floats:
    """About the same where much is smoothed: two boxes, whose cost does not grow with ``sigma``."""
    import cv2

    edge = round((6 * sigma**2 + 1) ** 0.5) | 1
    return cv2.blur(cv2.blur(values, (edge, edge)), (edge, edge))  # type: ignore[return-value]


# ---- finder patterns


def _ring_pattern(radii: tuple[int, ...], edge: int) -> Floats:
    """±1 by the distance from the middle, in modules, largest first: dark where its entry in ``radii`` is 1."""
    import numpy as np

    away = np.abs(np.arange(edge) - edge // 2)
    return np.array(radii, np.float32)[np.maximum(away[:, None], away[None])] * 2 - 1


def _drawn(modules: Floats, soft: float = 0.4) -> Floats:
    """Modules as a slightly blurred picture of ``PER_MODULE`` samples each."""
    import cv2
    import numpy as np

    big = np.kron(modules, np.ones((PER_MODULE, PER_MODULE), np.float32))
    return cv2.GaussianBlur(big, (0, 0), soft * PER_MODULE)  # type: ignore[return-value]


def _settled(patch: Floats, frame: Floats) -> tuple[Floats, float]:
    """A finder pattern's frame (2, 3: a module right, a module down, the middle) moved to where the photo has it.

    Also how like a finder pattern it looks there, 1 at best.
    """
    import cv2
    import numpy as np

    target = _drawn(_ring_pattern((1, 1, 0, 1, 0), _FINDER_EDGE))
    down, across = np.gradient(target)
    size = len(target)
    u, v = _places(size, _FINDER_EDGE / 2)
    basis = np.stack([across * u, across * v, across, down * u, down * v, down], -1).reshape(-1, 6)
    normal = basis.T @ basis + np.diag([1.0, 1, 0.1, 1, 1, 0.1]) * size
    best, best_score = frame, -1.0
    for turn in range(9):
        x = frame[0, 0] * u + frame[0, 1] * v + frame[0, 2]
        y = frame[1, 0] * u + frame[1, 1] * v + frame[1, 2]
        seen = cv2.remap(patch, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
        seen = seen - seen.mean()
        score = float((seen * target).sum() / max(np.linalg.norm(seen) * np.linalg.norm(target), 1e-6))
        if score > best_score:
            best, best_score = frame, score
        gain = float((seen * target).sum() / (target * target).sum())
        if gain < 0.05 or turn == 8:
            break
        rest = (target - target.mean() - seen / gain).reshape(-1)
        step = np.linalg.solve(normal, basis.T @ rest) / PER_MODULE
        a, b, c, d, e, f = step
        turned = np.array([[1 + a, b, c], [d, 1 + e, f], [0, 0, 1]])
        frame = (frame @ turned).astype(np.float32)
    return best, best_score


def _places(size: int, middle: float) -> tuple[Floats, Floats]:
    """Each sample's module coordinates, from the middle."""
    import numpy as np

    line = ((np.arange(size) + 0.5) / PER_MODULE - middle).astype(np.float32)
    u, v = np.meshgrid(line, line)
    return u, v


def _versions(frames: list[Floats]) -> list[int]:
    """Which sizes the finder patterns' own scale and distance suggest, the likeliest first."""
    import numpy as np

    estimates = []
    for other, axis in ((1, 0), (2, 1)):
        leg = frames[other][:, 2] - frames[0][:, 2]
        unit = leg / max(float(np.linalg.norm(leg)), 1e-6)
        sizes = [abs(float(frames[k][:, axis] @ unit)) for k in (0, other)]
        estimates.append(float(np.linalg.norm(leg)) / max(sum(sizes) / 2, 1e-3))
    middle = (sum(estimates) / 2 + 7 - 17) / 4
    near = sorted(matrix.VERSIONS, key=lambda version: abs(version - middle))
    reach = max(1.3, 0.12 * middle)
    return [version for version in near[:4] if abs(version - middle) <= reach]


# ---- the first guess


def _known(frames: list[Floats], version: int) -> tuple[Floats, Floats]:
    """Places in modules and in pixels: each finder pattern's middle, edges and corners."""
    import numpy as np

    far = matrix.size_of(version) - 3.5
    modules, pixels = [], []
    for frame, middle in zip(frames, ((3.5, 3.5), (far, 3.5), (3.5, far)), strict=True):
        for u in (-3.5, 0.0, 3.5):
            for v in (-3.5, 0.0, 3.5):
                modules.append((middle[0] + u, middle[1] + v))
                pixels.append(frame @ np.array([u, v, 1.0]))
    return np.array(modules, np.float32), np.array(pixels, np.float32)


class _Flat:
    """A plane seen in perspective, bent by what remains (a thin plate through the known places)."""

    def __init__(self, modules: Floats, pixels: Floats, stiff: float) -> None:
        import cv2
        import numpy as np

        self.lens, _ = cv2.findHomography(modules, pixels, 0)
        if self.lens is None:
            self.lens = np.eye(3)
        self.modules = modules
        self.scale = float(np.abs(modules).max())
        rest = pixels - self._seen(modules)
        kernel = self._kernel(modules) + stiff * np.eye(len(modules))
        frame = np.column_stack([np.ones(len(modules)), modules / self.scale])
        whole = np.block([[kernel, frame], [frame.T, np.zeros((3, 3))]])
        self.factors = np.linalg.lstsq(whole, np.vstack([rest, np.zeros((3, 2))]), rcond=None)[0]

    def _seen(self, modules: Floats) -> Floats:
        import cv2
        import numpy as np

        out = cv2.perspectiveTransform(modules.reshape(1, -1, 2).astype(np.float64), self.lens)
        return out.reshape(-1, 2).astype(np.float32)

    def _kernel(self, places: Floats) -> NDArray[np.float64]:
        import numpy as np

        apart = (((places[:, None] - self.modules[None]) / self.scale) ** 2).sum(-1)
        out: NDArray[np.float64] = 0.5 * apart * np.log(np.maximum(apart, 1e-12))
        return out

    def __call__(self, places: Floats) -> Floats:
        import numpy as np

        frame = np.column_stack([np.ones(len(places)), places / self.scale])
        bend = self._kernel(places) @ self.factors[:-3] + frame @ self.factors[-3:]
        out: Floats = (self._seen(places) + bend).astype(np.float32)
        return out


def _anchors(patch: Floats, frames: list[Floats], version: int) -> Iterator[list[tuple[Floats, Floats]]]:
    """Sets of alignment patterns as (place in modules, place in pixels); the far corner's may be in several places."""
    import numpy as np

    modules, pixels = _known(frames, version)
    middles = sorted(matrix.alignment(version), key=lambda one: -(one[0] + one[1]))
    if not middles:
        yield []
        return
    reach = 2.0 + 0.09 * matrix.size_of(version)
    first = np.array([middles[0][1] + 0.5, middles[0][0] + 0.5], np.float32)
    options = _alignment(patch, _plane(frames, version), first, reach)
    for score, seen in options[:2]:
        anchors = [(first, seen)]
        for row, column in middles[1:]:
            place = np.array([column + 0.5, row + 0.5], np.float32)
            guess = _Flat(
                np.vstack([modules, *([one[0]] * 3 for one in anchors)]),
                np.vstack([pixels, *([one[1]] * 3 for one in anchors)]), 1e-3,
            )  # fmt: skip
            found = _alignment(patch, guess, place, 2.0)
            if found and found[0][0] > 0.6:
                anchors.append((place, found[0][1]))
        yield anchors
        if score > 0.8:
            return
    if not options or options[0][0] < 0.7:
        yield []


def _plane(frames: list[Floats], version: int) -> _Flat:
    return _Flat(*_known(frames, version), 1e-2)


def _alignment(patch: Floats, guess: _Flat, place: Floats, reach: float) -> list[tuple[float, Floats]]:
    """Where near ``place`` an alignment pattern is seen: agreement and pixels, the best first."""
    import cv2
    import numpy as np

    target = _drawn(_ring_pattern((1, 0, 1), 5))
    edge = int((2 * reach + 5) * PER_MODULE) | 1
    line = ((np.arange(edge) - edge // 2) / PER_MODULE).astype(np.float32)
    u, v = np.meshgrid(line + place[0], line + place[1])
    pixels = guess(np.column_stack([u.ravel(), v.ravel()])).reshape(edge, edge, 2)
    seen = cv2.remap(patch, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR)
    scores = cv2.matchTemplate(seen, target, cv2.TM_CCOEFF_NORMED)
    half = len(target) // 2
    found = []
    for _ in range(3):
        _, best, _, (x, y) = cv2.minMaxLoc(scores)
        if best < 0.45:
            break
        found.append((float(best), pixels[y + half, x + half]))
        cv2.circle(scores, (x, y), 2 * PER_MODULE, -1.0, -1)
    return found


# ---- the fit


def _fitted(
    patch: _Patch, frames: list[Floats], version: int, anchors: list[tuple[Floats, Floats]]
) -> Grid | None:
    import numpy as np

    size = matrix.size_of(version)
    modules, pixels = _known(frames, version)
    for place, seen in anchors:  # as much as a finder pattern has
        around = np.repeat(place[None], 3, 0)
        modules, pixels = np.vstack([modules, around]), np.vstack([pixels, np.repeat(seen[None], 3, 0)])
    edge = size + 2 * MARGIN
    line = np.arange(edge, dtype=np.float32) + 0.5 - MARGIN
    u, v = np.meshgrid(line, line)
    nodes = _Flat(modules, pixels, 1e-3)(np.column_stack([u.ravel(), v.ravel()])).reshape(edge, edge, 2)
    lattice: Floats = _finer(nodes)
    known = np.pad(matrix.fixed(version), MARGIN, constant_values=0)
    away = _away(size, [place for place, _ in anchors])
    growth = [(_GROWING, reach) for reach in np.arange(1.0, float(away.max()) + _FRONT, _FRONT)]
    for turn, (window, reach) in enumerate(
        (*growth, *((window, _EVERYWHERE) for window in _WINDOWS), (0.0, 0.0))
    ):
        photo = _looked_up(patch.pixels, lattice)
        values = _sampled(photo)
        agreement = _agreement(values, known)
        if turn >= len(growth) and agreement < _SURE:
            return None
        if window:
            near = np.clip(reach - away, 0.0, 1.0).astype(np.float32)
            lattice = _moved(lattice, photo, values, known, (window, near))
    low, high = MARGIN * PER_MODULE, (MARGIN + size) * PER_MODULE - 1
    outline = tuple(
        patch.on_page(lattice[r, c]) for r, c in ((low, low), (low, high), (high, high), (high, low))
    )
    return Grid(values[MARGIN:-MARGIN, MARGIN:-MARGIN], agreement, outline)


def _looked_up(patch: Floats, lattice: Floats) -> Floats:
    """The patch's value at each place of the lattice."""
    import cv2

    return cv2.remap(patch, lattice[..., 0], lattice[..., 1], cv2.INTER_LINEAR)  # type: ignore[return-value]


def _finer(nodes: Floats) -> Floats:
    """A value a module → a value a sample."""
    import cv2

    edge = len(nodes) * PER_MODULE
    return cv2.resize(nodes, (edge, edge), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _coarser(samples: Floats) -> Floats:
    """A value a sample → their mean in each module."""
    import cv2

    edge = len(samples) // PER_MODULE
    return cv2.resize(samples, (edge, edge), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


_WINDOWS = (3.0, 2.5, 2.0, 1.7)  # modules
_GROWING = 2.5
_FRONT = 1.5  # modules by which the part that is trusted grows at each turn
_EVERYWHERE = 1e3


def _away(size: int, anchors: list[Floats]) -> Floats:
    """Each module's distance from the nearest finder pattern or alignment pattern that was seen, in modules."""
    import cv2
    import numpy as np

    edge = size + 2 * MARGIN
    free = np.ones((edge, edge), np.uint8)
    finder = slice(MARGIN, MARGIN + 8), slice(edge - MARGIN - 8, edge - MARGIN)
    free[finder[0], finder[0]] = free[finder[0], finder[1]] = free[finder[1], finder[0]] = 0
    for place in anchors:
        column, row = (int(value) + MARGIN for value in place)
        free[row - 2 : row + 3, column - 2 : column + 3] = 0
    return cv2.distanceTransform(free, cv2.DIST_L2, 5)  # type: ignore[return-value]


def _sampled(seen: Floats) -> Floats:
    """Each module's value: the mean of its middle."""
    import cv2

    edge = len(seen) // PER_MODULE
    soft = cv2.blur(seen, (3, 3))
    return soft[PER_MODULE // 2 :: PER_MODULE, PER_MODULE // 2 :: PER_MODULE][:edge, :edge]  # type: ignore[return-value]


def _agreement(seen: Floats, known: NDArray[np.int8]) -> float:
    """How far what is fixed in every code agrees with what is seen; the quiet zone does not count."""
    import numpy as np

    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    is_fixed = known[inner] >= 0
    wanted = known[inner][is_fixed] * 2.0 - 1
    values = np.clip(seen[inner][is_fixed], -1, 1)
    return float((wanted * values).sum() / max(np.abs(values).sum(), 1e-6))


def _moved(
    lattice: Floats, seen: Floats, modules: Floats, known: NDArray[np.int8], part: tuple[float, Floats]
) -> Floats:
    """The lattice after one step towards agreement.

    ``part`` is over how many modules a step is smooth, and how far each module is trusted; what is not trusted moves
    along with the nearest that is.
    """
    import cv2
    import numpy as np

    sides = np.where(known >= 0, known * 2.0 - 1, np.tanh(2.5 * modules)).astype(np.float32)
    window, near = part
    trust = np.where(known >= 0, 2.5, 1.0).astype(np.float32) * near
    target = _drawn(sides)
    slopes: tuple[Floats, Floats] = np.gradient(target)  # type: ignore[assignment]
    down, across = slopes

    rows, columns = np.indices(target.shape, np.float32)
    products = (target * seen, target * target, seen * seen, across * across, across * down, down * down)
    both, own, other, xx, xy, yy = _spread(products, trust, window)
    gain = np.clip(both / (own + 1e-3), 0.15, 3.0)
    quality = np.clip(both / np.sqrt(own * other + 1e-6), 0.02, 1.0) ** 2 * near
    rest: Floats = target - seen / _finer(gain)
    xr, yr = _spread((across * rest, down * rest), trust, window)
    ridge = 0.05 * (xx + yy) + 1e-3
    xx, yy = xx + ridge, yy + ridge
    determinant = xx * yy - xy * xy
    most = 0.6 * PER_MODULE
    dx = np.clip((yy * xr - xy * yr) / determinant, -most, most) * quality
    dy = np.clip((xx * yr - xy * xr) / determinant, -most, most) * quality
    weight, dx, dy = np.moveaxis(_carried(np.stack([quality, dx, dy], -1), window * 0.7), -1, 0)
    return cv2.remap(  # type: ignore[return-value]
        lattice,
        columns + _finer(dx / weight),
        rows + _finer(dy / weight),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _spread(samples: tuple[Floats, ...], trust: Floats, window: float) -> Floats:
    """Values of samples → their trusted sums around each module, one for each of ``samples``."""
    import numpy as np

    modules = np.stack([_coarser(one) for one in samples], -1)
    return np.moveaxis(_soft(modules * trust[..., None], window), -1, 0)


def _carried(values: Floats, sigma: float) -> Floats:
    """Smoothed, and carried far into where there is nothing."""
    out: Floats = _soft(values, sigma) + 1e-3 * _soft(values, 4 * sigma) + 1e-6 * _soft(values, 16 * sigma)
    return out
