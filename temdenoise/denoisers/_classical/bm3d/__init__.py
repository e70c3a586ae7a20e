"""Block-matching and 3-D filtering in batched torch: the steps of `BM3DDenoiser`."""
