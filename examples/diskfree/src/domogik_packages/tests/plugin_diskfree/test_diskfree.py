"""What diskfree measures."""

import pytest
from domogik_packages.xpl.bin.diskfree import measure


def test_space_is_in_kilobytes_and_its_use_in_percent() -> None:
    figures = measure("/")
    assert 0 <= figures["percent_used"] <= 100
    assert figures["used_space"] + figures["free_space"] <= figures["total_space"]


def test_a_path_that_is_not_there_is_an_error_and_no_figure() -> None:
    with pytest.raises(FileNotFoundError):
        measure("/no/such/directory")
