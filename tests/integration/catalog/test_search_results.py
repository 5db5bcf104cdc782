"""What a search finds and in which order, on a small catalogue on the real server."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from service.bootstrap import Shop
from service.catalog.models import NewProduct, NewVariant, Product
from service.catalog.search.usecases import Position, SearchPage
from service.errors import Invalid


def goods(name: str, description: str = "", popularity: int = 0, **more: object) -> NewProduct:
    return NewProduct(name, 500, "home", description, popularity=popularity, **more)  # type: ignore[arg-type]


async def names(shop: Shop, query: str, limit: int = 24) -> list[str]:
    return [product.name for product in (await shop.search.find(query, None, limit)).items]


async def test_name_matches_come_before_description_matches(shop: Shop) -> None:
    await shop.catalog.create_all([goods("Blue plate", "goes with a heart", popularity=900), goods("Heart of wicker")])
    assert await names(shop, "heart") == ["Heart of wicker", "Blue plate"]


async def test_a_quoted_search_for_what_everything_has_reads_a_bounded_part_of_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.catalog.create_all([goods(f"Red mug {n:02}", popularity=n) for n in range(30)])
    exact = (await shop.search.find('"red mug"', None, 24)).items
    monkeypatch.setattr(shop.search._repository, "_text_max", 10)
    pages, position = list[str](), None
    for _ in range(4):
        page = await shop.search.find('"red mug"', position, 4)
        pages += [product.name for product in page.items]
        position = page.next
        if position is None:
            break
    assert len(exact) == 24
    assert len(pages) == len(set(pages)) == 10, "as many as it looks at, each once, over several pages"
    assert await names(shop, '"red mug 07"') == ["Red mug 07"], "what few have is found among all"


@pytest.mark.parametrize("typed", ["HB-85123A", "hb-85123a", "#HB-85123A", " hb 85123a ", "HB85123A", "ＨＢ－85123Ａ"])
async def test_the_sku_on_a_label_is_found_first_in_any_case_with_a_number_sign_or_blanks(
    shop: Shop, typed: str
) -> None:
    await shop.catalog.create_all(
        [goods("Hb 85123a lamp", popularity=900), goods("Wicker heart", sku="HB-85123A"), goods("Mug", sku="HB-85123")]
    )
    found = await names(shop, typed)
    assert found[0] == "Wicker heart"
    assert len(found) == len(set(found))


async def test_a_variant_is_found_by_its_sku_and_by_its_name(shop: Shop) -> None:
    variants = (NewVariant("Crimson", sku="CUP-R"), NewVariant("Turquoise", sku="CUP-T"))
    await shop.catalog.create_all([goods("Cup", variants=variants), goods("Plate")])
    assert await names(shop, "cup-t") == ["Cup"]
    assert await names(shop, "turquoise cup") == ["Cup"]
    assert await names(shop, "crimson") == ["Cup"]


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("Smørrebrød board", "smorrebrod"),
        ("Smorrebrod board", "smørrebrød"),
        ("Wi-Fi router", "wifi"),
        ("Wifi router", "wi-fi router"),
        ("T-shirt rack", "tshirt"),
        ("Łódź poster", "lodz"),
        ("Straße sign", "STRASSE"),
        ("Ｆｕｌｌ　Ｗｉｄｔｈ lamp", "full width"),
        ("İstanbul tray", "istanbul"),
        ("Ёлка green", "елка"),
        ("茶杯套装", "茶杯"),
        ("紅茶ポット", "ポット"),
        ("ガラス bowl", "ｶﾞﾗｽ"),
        ("हिन्दी किताब", "किताब"),
        ("กาน้ำชา pot", "น้ำชา"),
    ],
)
async def test_what_is_typed_meets_what_is_written(shop: Shop, written: str, typed: str) -> None:
    await shop.catalog.create_all([goods(written), goods("Plain unrelated thing")])
    assert await names(shop, typed) == [written]


async def test_a_voicing_mark_is_a_letter_and_not_an_accent(shop: Shop) -> None:
    await shop.catalog.create_all([goods("ガラス"), goods("カラス")])
    assert (await names(shop, "ガラス"))[0] == "ガラス"
    assert (await names(shop, "カラス"))[0] == "カラス"


async def test_what_an_older_version_indexed_is_indexed_anew_at_the_start(shop: Shop) -> None:
    await shop.catalog.create(goods("Smørrebrød board", sku="SB-1"))
    old = {"search.keys": ["smørrebrød", "board"], "search.name": ["smørrebrød", "board"]}
    await shop.stores.database["products"].update_one({}, {"$set": old, "$unset": {"search.form": ""}})
    assert await names(shop, "sb-1") == []
    await shop.catalog.upgrade()
    assert await names(shop, "sb-1") == await names(shop, "smorrebrod") == ["Smørrebrød board"]


async def test_products_with_all_words_come_before_products_with_some(shop: Shop) -> None:
    await shop.catalog.create_all(
        [
            goods("Red bowl", popularity=5_000),
            goods("Mug", "a red mug", popularity=1),
            goods("Red mug", popularity=1),
            goods("Green mug", popularity=5_000),
            goods("Vase", "in red, unlike a mug", popularity=9_000),
        ]
    )
    found = await names(shop, "red mug")
    assert found[0] == "Red mug"
    assert set(found[1:3]) == {"Mug", "Vase"}
    assert set(found[3:]) == {"Red bowl", "Green mug"}


async def test_more_of_the_words_beat_fewer_when_none_has_all(shop: Shop) -> None:
    await shop.catalog.create_all(
        [goods("Jumbo bag", popularity=5_000), goods("Red retrospot bag"), goods("Spaceboy lunch box")]
    )
    assert await names(shop, "jumbo red retrospot bag lantern") == ["Red retrospot bag", "Jumbo bag"]


@pytest.mark.parametrize("query", ["hearts", "HEART", "Heart's", "  heart ", "héart"])
async def test_plurals_case_and_accents_make_no_difference(shop: Shop, query: str) -> None:
    await shop.catalog.create(goods("Heart of wicker"))
    assert await names(shop, query) == ["Heart of wicker"]


@pytest.mark.parametrize("typo", ["herat", "hart", "heeart", "jeart"])
async def test_a_typo_is_forgiven_and_said_so(shop: Shop, typo: str) -> None:
    await shop.catalog.create(goods("Heart of wicker"))
    page = await shop.search.find(f"wicker {typo}", None, 24)
    assert [product.name for product in page.items] == ["Heart of wicker"]
    assert page.corrected == "wicker heart"


async def test_a_word_that_exists_is_never_taken_for_a_typo(shop: Shop) -> None:
    await shop.catalog.create_all([goods("Rose vase", popularity=1_000), goods("Nose mask")])
    page = await shop.search.find("nose", None, 24)
    assert [product.name for product in page.items] == ["Nose mask"]
    assert page.corrected is None


async def test_a_word_nobody_wrote_does_not_hide_what_the_others_find(shop: Shop) -> None:
    await shop.catalog.create(goods("Red mug"))
    assert await names(shop, "red mug xylophone") == ["Red mug"]


@pytest.mark.parametrize("query", ["", "   ", "!!!", "-", '"', '""', "zzzzzz qqqqqq"])
async def test_a_query_that_says_nothing_finds_nothing(shop: Shop, query: str) -> None:
    await shop.catalog.create(goods("Red mug"))
    assert await names(shop, query) == []


async def test_the_shorter_of_two_names_fits_better(shop: Shop) -> None:
    await shop.catalog.create_all([goods("Set of six spice tins with a red mug"), goods("Red mug")])
    assert await names(shop, "mug red") == ["Red mug", "Set of six spice tins with a red mug"]


async def test_of_equal_names_the_one_that_sells_comes_first(shop: Shop) -> None:
    slow, fast = await shop.catalog.create_all([goods("Red mug"), goods("Red mug")])
    await shop.catalog.record_sales({fast.id: 1_000})
    await shop.catalog.count_sales()
    page = await shop.search.find("red mug", None, 24)
    assert [product.id for product in page.items] == [fast.id, slow.id]


async def test_archived_products_are_not_found(shop: Shop) -> None:
    gone, kept = await shop.catalog.create_all([goods("Red mug"), goods("Red bowl")])
    await shop.catalog.archive(gone.id)
    assert await names(shop, "red") == [kept.name]
    assert await names(shop, '"red"') == [kept.name]


async def test_a_renamed_product_is_found_by_its_new_name_only(shop: Shop) -> None:
    product = await shop.catalog.create(goods("Red mug"))
    await shop.catalog.edit(product.id, {"name": "Blue vase"})
    assert await names(shop, "vase") == ["Blue vase"]
    assert await names(shop, "mug") == []


async def test_a_quoted_phrase_is_found_as_it_stands(shop: Shop) -> None:
    await shop.catalog.create_all([goods("Red mug"), goods("Mug in red")])
    assert await names(shop, '"red mug"') == ["Red mug"]


async def test_an_excluded_word_is_excluded(shop: Shop) -> None:
    await shop.catalog.create_all([goods("Red mug heart"), goods("Red mug")])
    assert await names(shop, "mug -heart") == ["Red mug"]


def many(count: int) -> Iterator[NewProduct]:
    for number in range(count):
        name = f"Heart box {number}" if number % 3 else f"Box {number}"
        yield goods(name, "with a heart" if number % 2 else "", popularity=number % 7)


async def walked(shop: Shop, query: str, limit: int) -> list[Product]:
    """Every page of a search, one after the other."""
    found: list[Product] = []
    position: Position | None = None
    for _ in range(1_000):
        page: SearchPage = await shop.search.find(query, position, limit)
        found += page.items
        position = page.next
        if position is None:
            return found
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 24, 100])
@pytest.mark.parametrize("query", ["heart", "heart box", "box heart 7 1", '"heart" box'])
async def test_the_pages_of_a_search_hold_every_match_exactly_once(shop: Shop, query: str, limit: int) -> None:
    await shop.catalog.create_all(list(many(300)))
    ids = [product.id for product in await walked(shop, query, limit)]
    whole = [product.id for product in await walked(shop, query, 100)]
    assert len(ids) == len(set(ids))
    assert sorted(ids) == sorted(whole)
    if query == "heart":
        assert len(ids) == 250


async def test_products_put_on_sale_while_paging_neither_repeat_nor_hide_others(shop: Shop) -> None:
    await shop.catalog.create_all(list(many(250)))
    before = {product.id for product in await walked(shop, "heart", 100)}
    page = await shop.search.find("heart", None, 10)
    seen = [product.id for product in page.items]
    while page.next is not None:
        await shop.catalog.create(goods("Heart", popularity=10_000))
        page = await shop.search.find("heart", page.next, 10)
        seen += [product.id for product in page.items]
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


async def test_a_cursor_of_another_search_is_refused(shop: Shop) -> None:
    await shop.catalog.create_all(list(many(60)))
    page = await shop.search.find("heart", None, 10)
    with pytest.raises(Invalid):
        await shop.search.find("box", page.next, 10)


async def test_a_forged_position_is_refused_and_breaks_nothing(shop: Shop) -> None:
    await shop.catalog.create_all(list(many(60)))
    page = await shop.search.find("heart", None, 10)
    assert page.next is not None
    for forged in forgeries(page.next):
        with pytest.raises(Invalid):
            await shop.search.find("heart", forged, 10)


def forgeries(sound: Position) -> Sequence[Position]:
    return (
        replace(sound, words=()),
        replace(sound, words=("heart",) * 50),
        replace(sound, edge=None),
        replace(sound, edge=(9, 0, "")),
        replace(sound, edge=(-1, 0, "")),
        replace(sound, edge=(0, 2**70, "")),
        replace(sound, ranked=None),
        replace(sound, ranked=(0, 2**70, "")),
        replace(sound, walked=(7, 0, "")),
        replace(sound, ranked=None, walked=(0, 2**70, "")),
        Position(sound.asked, scored=(1.0, "x")),
    )
