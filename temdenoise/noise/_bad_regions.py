"""Rows, borders, boxes and labels in which no electrons were counted."""

import numpy as np
from scipy import ndimage

# The chance that an area of this many expected counts has none is e**-25.
_CERTAIN = 25.0
# An area is empty if one of this share of the mean rate would have counts.
_DARK = 0.1
# Smallest area that is looked for, in px: single pixels are dead or not, whatever is beside them.
_LEAST_AREA = 25
# Narrowest frame of which a row of one value is no accident.
_LEAST_WIDTH = 32
# Widest band of dead or hot rows, and by how much their sums differ from those beside them.
_WIDEST, _TIMES, _SIGMAS = 3, 3.0, 10.0
# A row is hot or dead in nearly all of so many parts.
_PARTS, _ALL_ALONG = 8, 0.8
# Rows that tell how bright the rows of a place are.
_NEAR = 25
# An empty area inside an image is one only if it fills so much of a rectangle.
_RECTANGULAR = 0.8
# Lines of a label lie this near to each other, in px.
_GAP = 15
# Pixels of the same value in so many frames, in a group of so many, are no accident.
_SAME_FRAMES, _SAME_GROUP, _SAME_SHARE = 4, 12, 0.05


def border(image):
    """Find rows and columns at the border of a frame that hold one value.

    Parameters
    ----------
    image : ndarray of shape (height, width)

    Returns
    -------
    where : None or bool ndarray of the same shape
    words : str
        What and where.
    """
    where, parts = np.zeros(image.shape, dtype=bool), []
    top, bottom = _ends(image)
    middle = image[top : len(image) - bottom]
    left, right = _ends(middle.T) if len(middle) else (0, 0)
    spans = [
        ("rows", 0, top, 0), ("rows", len(image) - bottom, len(image), 0),
        ("columns", 0, left, 1), ("columns", image.shape[1] - right, image.shape[1], 1),
    ]  # fmt: skip
    for name, first, last, axis in spans:
        if last > first:
            where[(slice(first, last),) if axis == 0 else (slice(None), slice(first, last))] = True
            parts.append(_span(name, first, last))
    return (where, "a border of one value: " + ", ".join(parts)) if parts else (None, "")


def _span(name, first, last):
    return f"{name} {first} to {last - 1}" if last - first > 1 else f"{name[:-1]} {first}"


def _ends(image):
    """Count the rows at the top and bottom that hold one value each, and not by chance."""
    same = image.min(axis=1) == image.max(axis=1)
    if same.all():
        return 0, 0
    n_top, n_bottom = int(same.argmin()), int(same[::-1].argmin())
    return (
        _checked_end(image[:n_top], image[n_top : n_top + 16]),
        _checked_end(image[len(image) - n_bottom :], image[: len(image) - n_bottom][-16:]),
    )


def _checked_end(rows, beside):
    if not len(rows):
        return 0
    empty = not rows.any()
    if empty:
        certain = _DARK * 2 * beside.mean() * rows.size >= _CERTAIN
    else:
        whole = (rows == np.rint(rows)).all() and (beside == np.rint(beside)).all()
        certain = whole and rows.shape[1] >= _LEAST_WIDTH
    return len(rows) if certain else 0


def of_frame(image, gain, inside):
    """Find dead or hot rows and columns, and empty areas, of one frame.

    Parameters
    ----------
    image : ndarray of shape (height, width)
    gain : float
        Value of one electron.
    inside : bool ndarray of the same shape
        Pixels that are not known to be bad.

    Returns
    -------
    words : str
    where : bool ndarray of the same shape
    """
    counts = image / gain
    if not inside.any() or not counts.any(where=inside):
        return
    yield from _lines(counts, inside)
    yield from _empty_areas(counts > 0, inside, float(counts.mean(where=inside)))


def of_movie(total, images, gain, inside):
    """Find what is the same in all frames; see `of_frame`.

    Parameters
    ----------
    total : ndarray of shape (height, width)
        Sum of the frames.
    images : ndarray of shape (n_images, height, width)
    gain, inside
        As for `of_frame`.

    Returns
    -------
    words : str
    where : bool ndarray of shape (height, width)
    """
    yield from of_frame(total, gain, inside)
    if len(images) >= _SAME_FRAMES:
        same = (images == images[0]).all(axis=0) & (images[0] > 0) & inside
        if 0 < same.mean() < _SAME_SHARE:
            groups, n = ndimage.label(same, np.ones((3, 3)))
            sizes = np.bincount(groups.ravel())
            large = [k for k in range(1, n + 1) if sizes[k] >= _SAME_GROUP]
            if large:
                where = np.isin(groups, large)
                y, x = np.nonzero(where)
                yield (
                    f"a label, the same in all frames: {_span('rows', y.min(), y.max() + 1)}, "
                    f"{_span('columns', x.min(), x.max() + 1)}",
                    where,
                )


def _lines(counts, inside):
    """Bands of rows or columns of other counts than those on either side."""
    # A single pixel is not a line, however much it counts.
    counts = np.where(inside, np.minimum(counts, 10 * counts.mean(where=inside) + 10), 0)
    for name, axis in (("rows", 0), ("columns", 1)):
        lines = counts if axis == 0 else counts.T
        known = (inside if axis == 0 else inside.T).mean(axis=1) < 0.5
        for kind, first, last in _bands(lines, known):
            where = np.zeros(counts.shape, dtype=bool)
            (where if axis == 0 else where.T)[first:last] = True
            yield f"{kind} {_span(name, first, last)}", where


def _bands(lines, known):
    """Bands of hot and dead rows: (kind, first, last + 1)."""
    parts = np.stack([p.sum(axis=1) for p in np.array_split(lines, _PARTS, axis=1)], axis=1)
    # Beyond the borders, and where rows are known to be bad, nothing is known.
    parts = np.pad(
        np.where(known[:, np.newaxis], np.nan, parts), ((1, 1), (0, 0)), constant_values=np.nan
    )
    sums, taken, bands = parts.sum(axis=1), known.copy(), []
    near = np.nan_to_num(sums[1:-1], nan=0.0)
    usual, low_ones = (
        ndimage.percentile_filter(near, share, size=_NEAR, mode="reflect") for share in (80, 20)
    )
    for width in range(1, _WIDEST + 1):
        band = np.lib.stride_tricks.sliding_window_view(sums[1:-1], width)
        beside = np.stack([sums[: len(band)], sums[width + 1 :]])
        low, high = np.fmin(*beside), np.fmax(*beside)
        # Lattice planes are bright, or dark between them, too. But so are many rows near them.
        low = np.fmin(low, low_ones[: len(band)])
        dead = (band.max(axis=1) < _DARK * low) & (width * low >= 4 * _CERTAIN)
        high = np.fmax(high, usual[: len(band)])
        bright = np.maximum(_TIMES * high, high + _SIGMAS * np.sqrt(np.fmax(high, 4)))
        hot = (band.min(axis=1) > bright) & ((width == 1) | np.isfinite(beside).all(axis=0))
        for kind, k in [("dead", k) for k in np.flatnonzero(dead)] + [
            ("hot", k) for k in np.flatnonzero(hot)
        ]:
            inside, outside = parts[k + 1 : k + width + 1], parts[[k, k + width + 1]]
            # All along the row: a spot is no row.
            if kind == "hot":
                all_along = inside.min(axis=0) > np.fmax(*outside)
            else:
                all_along = inside.max(axis=0) < np.fmin(*outside)
            if all_along.mean() > _ALL_ALONG and not taken[k : k + width].any():
                taken[k : k + width] = True
                bands.append((kind, k, k + width))
    return bands


def _empty_areas(lit, inside, rate):
    """Rectangles, and areas at the border, in which no pixel is lit."""
    area = max(_CERTAIN / max(_DARK * rate, 1e-12), _LEAST_AREA)
    lit = lit | ~inside
    if area > lit.size / 8 or not _may_be_empty(lit, area):
        return
    empty = np.zeros(lit.shape, dtype=bool)
    sums = np.pad(np.cumsum(np.cumsum(lit, axis=0), axis=1), ((1, 0), (1, 0)))
    height, width = lit.shape
    for h in 2 ** np.arange(int(np.log2(height)) + 1):
        w = int(np.ceil(area / h))
        if w > width:
            continue
        inside = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w] == 0
        if inside.any():
            corners = np.zeros((height + 1, width + 1), dtype=np.int32)
            corners[: inside.shape[0], : inside.shape[1]] += inside
            corners[h:, : inside.shape[1]] -= inside
            corners[: inside.shape[0], w:] -= inside
            corners[h:, w:] += inside
            empty |= np.cumsum(np.cumsum(corners, axis=0), axis=1)[:height, :width] > 0
    if not empty.any():
        return
    joined = ndimage.minimum_filter(ndimage.maximum_filter(np.pad(empty, _GAP), _GAP), _GAP)
    groups, _ = ndimage.label(joined[_GAP:-_GAP, _GAP:-_GAP])
    for k, box in enumerate(ndimage.find_objects(groups), start=1):
        rows, columns = box
        where = np.zeros(lit.shape, dtype=bool)
        where[box] = _filled(empty[box] & (groups[box] == k))
        at_border = rows.start == 0 or columns.start == 0
        at_border |= rows.stop == height or columns.stop == width
        place = f"{_span('rows', rows.start, rows.stop)}, "
        place += _span("columns", columns.start, columns.stop)
        if where[box].mean() >= _RECTANGULAR:
            yield f"a box without electrons: {place}", where
        elif at_border:
            yield f"an empty area at the border: {place}", where


def _filled(empty):
    """With what lies between empty pixels of a row or column: the letters of a label."""
    between = empty.copy()
    for axis in (0, 1):
        forward = np.maximum.accumulate(empty, axis=axis)
        between |= forward & np.flip(np.maximum.accumulate(np.flip(empty, axis), axis=axis), axis)
    return between


def _may_be_empty(lit, area):
    """Whether some block of a quarter of the area has no counts: only then is it worth a look."""
    side = max(1, int(np.sqrt(area) / 2))
    shapes = [(side, side), (1, max(1, int(area / 2))), (max(1, int(area / 2)), 1)]
    for h, w in shapes:
        height, width = lit.shape[0] // h * h, lit.shape[1] // w * w
        if height and width:
            blocks = lit[:height, :width].reshape(height // h, h, width // w, w)
            if not blocks.any(axis=(1, 3)).all():
                return True
    return False
