"""Parts of a movie that are denoised one after the other, so that memory stays bounded."""


def movie_parts(n_frames, length, *, context=0, step=1):
    """Cut a movie into parts whose estimates are those of the whole movie.

    Parameters
    ----------
    n_frames : int
        Frames of the movie.
    length : int
        Frames to denoise at a time. Raised to twice the `context`, so that at least half of the
        work is kept, and to a multiple of `step`.
    context : int, default=0
        Frames on either side on which an estimate depends, a multiple of `step`.
    step : int, default=1
        Every part starts at a multiple of this many frames.

    Returns
    -------
    parts : list of (slice, slice)
        Frames that go into a part, and those of them whose estimates are kept. Both are places in
        the whole movie.
    """
    length = -(-max(length, 2 * context) // step) * step
    return [
        (
            slice(max(0, start - context), min(n_frames, start + length + context)),
            slice(start, min(n_frames, start + length)),
        )
        for start in range(0, n_frames, length)
    ]
