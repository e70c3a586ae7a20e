"""How the scene of a simulated movie moves in the frame: drift and rotation."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

# How much the direction of a random drift turns from frame to frame (standard deviation, degrees).
_TURN = 25.0


def draw_drift(drift, n_frames, rng):
    """Positions (n_frames, 2) of the scene in px, (y, x), the first one 0.

    A number is the speed of a random walk whose direction turns smoothly, a pair a constant
    velocity, and an array of positions stands as it is, but for that of its first frame.
    """
    if isinstance(drift, Real) and not isinstance(drift, bool):
        if not 0 <= drift < np.inf:
            raise ValueError(f"drift must be finite and not negative (px per frame), got {drift}.")
        heading = rng.uniform(0, 360) + np.cumsum(rng.normal(0, _TURN, n_frames))
        angle = np.radians(heading[1:])
        steps = drift * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    else:
        try:
            given = np.asarray(drift, dtype=np.float64)
        except (TypeError, ValueError):
            given = np.empty(0)
        if given.shape == (2,):
            steps = np.broadcast_to(given, (n_frames - 1, 2))
        elif given.shape == (n_frames, 2):
            steps = np.diff(given, axis=0)
        else:
            raise ValueError(
                "drift must be a speed in px per frame, a constant velocity (y, x) in px per frame "
                f"or the positions of all frames, shape ({n_frames}, 2) in px; got {drift!r}."
            )
        if not np.isfinite(given).all():
            raise ValueError("drift holds NaN or infinity.")
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


@dataclass(frozen=True)
class MoviePath:
    """Where points of the scene are in each frame.

    What is at p in a frame without drift and rotation is at ``c + R (p - c) + drift`` in a frame,
    with c the centre of the frame and R a rotation from x (right) towards y (down).
    """

    shape: tuple
    drift: np.ndarray  # (n_frames, 2), (y, x) in px
    rotation: np.ndarray  # (n_frames,), degrees

    @property
    def _centre(self):
        return (np.array(self.shape) - 1) / 2

    def _turn(self, k):
        angle = np.radians(self.rotation[k])
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, s], [-s, c]])  # of (y, x)

    def to_frame(self, k, scene):
        """Pixels (..., 2), (y, x), of frame k of points of the scene, (y, x)."""
        return (scene - self._centre) @ self._turn(k).T + self._centre + self.drift[k]

    def to_scene(self, k, pixels):
        """Points of the scene, (y, x), that are at these pixels (y, x) of frame k."""
        return (pixels - self._centre - self.drift[k]) @ self._turn(k) + self._centre

    def mean_centre(self):
        """Point of the scene that is in the middle of the frames, on average."""
        return np.mean([self.to_scene(k, self._centre) for k in range(len(self.drift))], axis=0)

    def bounds(self):
        """Lowest and highest (y, x) of the scene that any frame shows."""
        height, width = self.shape
        corners = np.array([[y, x] for y in (0, height - 1) for x in (0, width - 1)], dtype=float)
        seen = np.concatenate([self.to_scene(k, corners) for k in range(len(self.drift))])
        return seen.min(axis=0), seen.max(axis=0)

    def shows(self, k, scene, margin):
        """Whether points of the scene are in frame k, so many pixels inside its border."""
        pixels = self.to_frame(k, scene)
        last = np.array(self.shape) - 1
        return ((pixels >= margin) & (pixels <= last - margin)).all(axis=-1)
