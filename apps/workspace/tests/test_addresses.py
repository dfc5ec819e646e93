"""The demo task's mapping of 28 tags to nine fields, on addresses written by hand."""

import json
from pathlib import Path

import pytest

from apps.evaluation.engine.metrics.json_answer import score_answer
from apps.workspace.engine.addresses import FIELDS, as_answer, read_labelled

# Written by hand from the documentation of the labels, not from the code.
EXPECTED = {
    "recipient": ["Recipient", "BuildingName", "LandmarkName"],
    "number": ["AddressNumberPrefix", "AddressNumber", "AddressNumberSuffix"],
    "street": [
        "StreetNamePreModifier", "StreetNamePreDirectional", "StreetNamePreType", "StreetName", "StreetNamePostType",
        "StreetNamePostDirectional", "StreetNamePostModifier", "IntersectionSeparator", "CornerOf",
    ],
    "unit": ["OccupancyType", "OccupancyIdentifier", "SubaddressType", "SubaddressIdentifier"],
    "box": ["USPSBoxType", "USPSBoxID", "USPSBoxGroupType", "USPSBoxGroupID"],
    "city": ["PlaceName"],
    "state": ["StateName"],
    "zip": ["ZipCode", "ZipPlus4"],
    "country": ["CountryName"],
}  # fmt: skip


def read(tmp_path: Path, *addresses: str) -> list[tuple[str, str]]:
    file = tmp_path / "labeled.xml"
    body = "".join(f"<AddressString>{address}</AddressString>" for address in addresses)
    file.write_text(f"<AddressCollection>{body}</AddressCollection>", encoding="utf-8")
    return list(read_labelled(file))


@pytest.mark.parametrize(("field", "tag"), [(field, tag) for field, tags in EXPECTED.items() for tag in tags])
def test_each_tag_goes_to_its_field(tmp_path: Path, field: str, tag: str) -> None:
    assert read(tmp_path, f"<{tag}>word</{tag}>") == [("word", json.dumps({field: "word"}, separators=(",", ":")))]


def test_there_are_twenty_eight_tags_and_one_that_is_no_address() -> None:
    assert sum(len(tags) for tags in EXPECTED.values()) == 28
    assert tuple(EXPECTED) == FIELDS


def test_a_whole_address_becomes_compact_json_in_the_order_of_the_fields(tmp_path: Path) -> None:
    typed = (
        "<Recipient>ACME,</Recipient> <Recipient>Inc.,</Recipient> <NotAddress>attn:</NotAddress>"
        " <ZipCode>62704</ZipCode> <AddressNumber>17</AddressNumber>\n <StreetName>Elm</StreetName>"
        " <StreetNamePostType>St.</StreetNamePostType> <PlaceName>New</PlaceName> <PlaceName>York,</PlaceName>"
    )
    ((text, answer),) = read(tmp_path, typed)
    assert text == "ACME, Inc., attn: 62704 17 Elm St. New York,"
    assert answer == '{"recipient":"ACME, Inc.","number":"17","street":"Elm St.","city":"New York","zip":"62704"}'


def test_a_field_of_commas_alone_is_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, "<PlaceName>,</PlaceName><StateName>IL ,</StateName>")[0][1] == '{"state":"IL"}'


def test_what_is_not_an_address_is_in_the_input_and_not_in_the_answer(tmp_path: Path) -> None:
    assert read(tmp_path, "<NotAddress>call me</NotAddress>") == [("call me", "{}")]


def test_a_tag_that_nobody_mapped_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="PlanetName"):
        read(tmp_path, "<PlanetName>Earth</PlanetName>")


def test_an_entity_bomb_is_refused(tmp_path: Path) -> None:
    from defusedxml import EntitiesForbidden

    file = tmp_path / "bomb.xml"
    file.write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]><x><y>&a;</y></x>')
    with pytest.raises(EntitiesForbidden):
        list(read_labelled(file))


def test_every_answer_is_one_that_the_metrics_call_right() -> None:
    answer = as_answer({"city": "São “Paulo”", "number": "1/2", "street": "back\\slash"})
    score = score_answer(answer, answer)
    assert (score.valid, score.exact, score.tp) == (True, True, 3)
