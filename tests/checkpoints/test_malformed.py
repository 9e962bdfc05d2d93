"""No file makes the reader do anything but read it, or say in one line where it is wrong."""

import time

import pytest

from support.malformed import ALL_CASES
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import CheckpointError


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_a_malformed_file_is_refused_in_one_line(case, tmp_path):
    path = case.make(tmp_path)
    began = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert time.perf_counter() - began < 2
    message = str(caught.value)
    assert message.isprintable() and len(message) <= 290
    assert case.says in f"{caught.value.field}: {caught.value.reason}"
    if case.offset is not None:
        assert caught.value.offset == case.offset
    if caught.value.offset is not None:
        assert 0 <= caught.value.offset <= caught.value.path.stat().st_size


def test_names_of_cases_are_unique_and_there_are_enough():
    names = [case.name for case in ALL_CASES]
    assert len(names) == len(set(names)) >= 150
