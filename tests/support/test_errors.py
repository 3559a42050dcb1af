"""The checks of arguments that every room uses: what passes, what does not, and what the one line says."""

import math

import numpy as np
import pytest

from tinylab.support.errors import InvalidInputError, check_int, check_range, nearest


def test_whole_numbers_pass_and_all_else_is_named_with_what_is_allowed():
    for value in (1, 2, 10):
        check_int("epochs", value, 1, 10)
    for value in (0, 11, 1.0, "1", None, True, math.nan, np.int64(1)):
        with pytest.raises(InvalidInputError) as caught:
            check_int("epochs", value, 1, 10)
        assert str(caught.value) == f"epochs {value!r} is not possible. Allowed: a whole number from 1 to 10"


def test_no_upper_end():
    check_int("seed", 10**30, 0)
    with pytest.raises(InvalidInputError, match=r"from 0$"):
        check_int("seed", -1, 0)


def test_between_holds_its_ends():
    check_range("dropout", 0, 0, 1)
    check_range("learning_rate", 1e-30, 0, math.inf, low_open=True)
    with pytest.raises(InvalidInputError, match="0 or more, and below 1"):
        check_range("dropout", 1.0, 0, 1)
    with pytest.raises(InvalidInputError, match="above 0, and finite"):
        check_range("learning_rate", 0, 0, math.inf, low_open=True)
    for value in (math.nan, math.inf, "0.5", None, False):
        with pytest.raises(InvalidInputError):
            check_range("learning_rate", value, 0, math.inf)


def test_nearest_finds_the_misspelt():
    assert nearest("adm", ["adam", "sgd"]) == ", did you mean 'adam'? Allowed: adam, sgd"
    assert nearest("xyz", ["adam", "sgd"]) == ". Allowed: adam, sgd"
