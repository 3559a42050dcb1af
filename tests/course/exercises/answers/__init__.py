"""Right answers, and typical mistakes with the hint that each must get, lecture by lecture: tables, no tests."""

PROSE = "The quick brown fox jumps over the lazy dog and then it goes home to sleep until the next morning."
