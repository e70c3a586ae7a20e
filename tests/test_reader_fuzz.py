"""Files of every format with changed bytes: images or a ValueError, and never much memory."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from temdenoise import ImageStack, read_stack, write_stack

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from reader_fuzz import fuzz, outcome, samples  # noqa: E402


def test_mutated_files_are_read_or_refused(tmp_path):
    counts, failures = fuzz(tmp_path, n_files=600, seed=0)
    assert failures == []
    assert sum(row["tried"] for row in counts.values()) == 600
    for name, row in counts.items():  # the mutations are neither too weak nor too strong
        assert row["refused"] > 0, name
    assert sum(row["read"] for row in counts.values()) > 60


def test_the_samples_are_valid(tmp_path):
    for (suffix, name), data in samples().items():
        path = tmp_path / f"a{suffix}"
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        for mmap in (False, True):
            assert outcome(path, mmap) == "read", name


def test_any_beginning_of_a_file_is_refused(tmp_path):
    for (suffix, name), data in samples().items():
        path = tmp_path / f"a{suffix}"
        for end in np.linspace(1, len(data) - 20, 12).astype(int):  # some end in padding
            path.unlink(missing_ok=True)
            path.write_bytes(data[:end])
            assert outcome(path, False) == "refused", (name, end)


def stacks(dtypes):
    return arrays.arrays(
        dtypes, arrays.array_shapes(min_dims=3, max_dims=3, max_side=7), fill=st.nothing()
    )


KINDS = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(),
    arrays.unsigned_integer_dtypes(),
    arrays.floating_dtypes(sizes=(16, 32)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    stack=KINDS.flatmap(stacks),
    suffix=st.sampled_from([".tif", ".npy"]),
    pixel_size=st.none() | st.floats(1.0, 1e6),
    info=st.dictionaries(st.text(), JSON, max_size=3),
    mmap=st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, stack, suffix, pixel_size, info, mmap):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.unlink(missing_ok=True)
    write_stack(path, stack, pixel_size=pixel_size, metadata=info)
    back = read_stack(path, mmap=mmap)
    assert type(back) is ImageStack and back.dtype == np.float32
    np.testing.assert_array_equal(back, stack.astype(np.float32))
    if suffix == ".tif":
        assert back.metadata["info"] == info
        if pixel_size is None:
            assert back.pixel_size is None
        else:
            np.testing.assert_allclose(back.pixel_size, pixel_size, rtol=1e-6)
