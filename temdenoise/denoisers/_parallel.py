"""The images of a stack, several at a time."""

import numpy as np
from joblib import Parallel, delayed


def map_images(denoise_into, X, *more, n_jobs):
    """Denoise the images of a stack in threads.

    Threads, because what takes the time (NumPy, SciPy, scikit-image, torch) releases the
    interpreter's lock, and nothing is copied.

    Parameters
    ----------
    denoise_into : callable
        ``denoise_into(out, image, ...)`` writes the estimate of one image into `out`.
    X : ndarray of shape (n_images, height, width), dtype float32
        Noisy images.
    *more : sequences of length n_images
        What else `denoise_into` takes, image by image.
    n_jobs : int or None
        Number of threads, as joblib's.

    Returns
    -------
    denoised : ndarray of shape (n_images, height, width), dtype float32
        The estimates.
    """
    denoised = np.empty_like(X)
    Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(denoise_into)(*job) for job in zip(denoised, X, *more, strict=True)
    )
    return denoised
