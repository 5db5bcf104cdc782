"""Names in capitals become names as people write them."""

import pytest

from benchmarks.kit.title_case import title_case


@pytest.mark.parametrize(
    ("name", "titled"),
    [
        ("CHILDREN'S 3RD BIRTHDAY MUG", "Children's 3rd Birthday Mug"),
        ("CHILDREN’S 1ST CUP", "Children’s 1st Cup"),
        ("DON'T PANIC", "Don't Panic"),
        ("L'ORÉAL SHAMPOO", "L'Oréal Shampoo"),
        ("O'NEILL SURF BAG", "O'Neill Surf Bag"),
        ("24CT GOLD RING", "24ct Gold Ring"),
        ("ST. JOHN'S CANDLE", "St. John's Candle"),
        ("PAPER LANTERN SET OF 4", "Paper Lantern Set of 4"),
        ("T-LIGHT HOLDER", "T-Light Holder"),
        ("12CM 3D USB LAMP", "12cm 3D USB Lamp"),
        ("BOYS' BAG", "Boys' Bag"),
        ("ROCK 'N' ROLL", "Rock 'N' Roll"),
        ("OF MICE AND MEN", "Of Mice and Men"),
        ("damaged stock", "Damaged Stock"),
        ("kitchen", "Kitchen"),
        ("iPhone case", "iPhone case"),
        ("", ""),
        ("100", "100"),
    ],
)
def test_a_name_in_capitals_is_titled_as_people_write_it(name, titled):
    assert title_case(name) == titled
