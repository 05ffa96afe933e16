from nst_lightning.benchmark.table import format_table


def test_table_columns_have_equal_width() -> None:
    assert format_table(["a", "long"], [["word", "b"]]).splitlines() == [
        "| a    | long |",
        "|------|------|",
        "| word | b    |",
    ]
