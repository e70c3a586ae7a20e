"""Small transforms as matrices, and blocks as vectors."""

import numpy as np

# Low-pass analysis filter of the biorthogonal spline wavelet 1.5 (Cohen, Daubechies & Feauveau
# 1992), whose high-pass partner is Haar's; times 128 / sqrt(2).
_SPLINE_LOW = (3, -3, -22, 22, 128, 128, 22, -22, -3, 3)


def dct_matrix(n):
    """Orthonormal DCT-II of length n: rows are the basis functions, shape (n, n), float64."""
    k, x = np.mgrid[:n, :n]
    matrix = np.sqrt(2 / n) * np.cos(np.pi * (x + 0.5) * k / n)
    matrix[0] /= np.sqrt(2)
    return matrix


def haar_matrix(n):
    """Orthonormal Haar transform of length n, a power of two: shape (n, n), float64."""
    matrix = np.ones((1, 1))
    while len(matrix) < n:
        detail = np.kron(np.eye(len(matrix)), [1, -1])
        matrix = np.vstack([np.kron(matrix, [1, 1]), detail]) / np.sqrt(2)
    return matrix


def biorthogonal_matrix(n):
    """Periodic biorthogonal spline wavelet 1.5 of length n, a power of two.

    All the way down to one mean. The rows have norm one, so that white noise has the same variance
    in every coefficient; they are not orthogonal, so the inverse is not the transpose.

    Parameters
    ----------
    n : int
        Length, a power of two.

    Returns
    -------
    matrix : ndarray of shape (n, n), dtype float64
    """
    mean, details = np.eye(n), []
    while len(mean) > 1:
        m = len(mean)
        low, high = np.zeros((m // 2, m)), np.zeros((m // 2, m))
        for i in range(m // 2):
            for j, tap in enumerate(_SPLINE_LOW):
                low[i, (2 * i + j - 4) % m] += tap
            high[i, 2 * i : 2 * i + 2] = 1, -1
        details.insert(0, high @ mean)
        mean = low @ mean
    matrix = np.vstack([mean, *details])
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def block_transform(matrix, block):
    """Separable transform of a block and its inverse, for blocks as vectors.

    Parameters
    ----------
    matrix : callable
        Gives the transform of a length, as `dct_matrix`.
    block : tuple of int
        Height and width of a block.

    Returns
    -------
    forward, inverse : ndarrays of shape (height * width, height * width), dtype float32
        ``forward @ vector`` are the coefficients of a block raveled to a vector.
    """
    forward = np.kron(matrix(block[0]), matrix(block[1]))
    return forward.astype(np.float32), np.linalg.inv(forward).astype(np.float32)


def all_blocks(image, block):
    """Every block of an image as a row.

    Parameters
    ----------
    image : Tensor of shape (height, width)
        Image.
    block : tuple of int
        Height and width of a block.

    Returns
    -------
    blocks : Tensor of shape (n_rows * n_columns, block height * block width)
        Row ``i * n_columns + j`` is the block whose first pixel is (i, j).
    """
    views = image.unfold(0, block[0], 1).unfold(1, block[1], 1)
    return views.reshape(-1, block[0] * block[1])


def overlap_add(blocks, shape, block):
    """Add blocks at their places: the adjoint of `all_blocks`.

    Parameters
    ----------
    blocks : Tensor of shape (block height * block width, n_rows * n_columns)
        One block for each place, as a column: this way sums run along contiguous memory.
    shape : tuple of int
        Height and width of the image.
    block : tuple of int
        Height and width of a block.

    Returns
    -------
    image : Tensor of shape (height, width)
    """
    n_rows, n_columns = (n - b + 1 for n, b in zip(shape, block, strict=True))
    image = blocks.new_zeros(shape)
    for k, pixels in enumerate(blocks.view(-1, n_rows, n_columns)):
        y, x = divmod(k, block[1])
        image[y : y + n_rows, x : x + n_columns] += pixels
    return image
