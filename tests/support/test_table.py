"""Tables: numbers stand to the right, in text and in HTML; nothing of a cell is taken for a tag."""

from tinylab.support.table import Table


def test_numbers_stand_to_the_right_and_words_to_the_left():
    table = Table(["name", "share", "none", "tick"], [["a<b", "5 %", "–", "–"], ["c", "1,024", "–", "✓ n = 3"]], "Two")
    assert str(table).splitlines() == [
        "Two",
        "name  share  none  tick",
        "----  -----  ----  -------",
        "a<b     5 %  –     –",
        "c     1,024  –     ✓ n = 3",
    ]
    page = table._repr_html_()
    assert page.count('<td style="text-align:right">') == 2
    assert "<caption>Two</caption>" in page
    assert "a&lt;b" in page


def test_a_table_without_rows_has_its_head():
    assert str(Table(["a", "bc"], [])) == "a  bc\n-  --"
