"""The demo task: US postal addresses as people type them, labelled by hand, as field-by-field JSON.

Source: `training/labeled.xml` of the usaddress project (MIT). Its 28 tags are folded into nine fields.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from defusedxml import ElementTree

FIELDS = ("recipient", "number", "street", "unit", "box", "city", "state", "zip", "country")

_FIELD_OF = {
    "Recipient": "recipient",
    "BuildingName": "recipient",
    "LandmarkName": "recipient",
    "AddressNumberPrefix": "number",
    "AddressNumber": "number",
    "AddressNumberSuffix": "number",
    "StreetNamePreModifier": "street",
    "StreetNamePreDirectional": "street",
    "StreetNamePreType": "street",
    "StreetName": "street",
    "StreetNamePostType": "street",
    "StreetNamePostDirectional": "street",
    "StreetNamePostModifier": "street",
    "IntersectionSeparator": "street",
    "CornerOf": "street",
    "OccupancyType": "unit",
    "OccupancyIdentifier": "unit",
    "SubaddressType": "unit",
    "SubaddressIdentifier": "unit",
    "USPSBoxType": "box",
    "USPSBoxID": "box",
    "USPSBoxGroupType": "box",
    "USPSBoxGroupID": "box",
    "PlaceName": "city",
    "StateName": "state",
    "ZipCode": "zip",
    "ZipPlus4": "zip",
    "CountryName": "country",
    "NotAddress": None,
}


def read_labelled(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (address as typed, answer as compact JSON) in the order of the file.

    KeyError names a tag that the mapping does not know: a changed source must not be folded by guess.
    """
    root = ElementTree.parse(path).getroot()
    for address in root:
        typed = " ".join("".join(address.itertext()).split())
        words: dict[str, list[str]] = {}
        for token in address:
            name = _FIELD_OF[token.tag]
            if name is not None:
                words.setdefault(name, []).append("".join(token.itertext()).strip())
        yield typed, as_answer({name: " ".join(parts) for name, parts in words.items()})


def as_answer(fields: dict[str, str]) -> str:
    """Compact JSON with the fields in their fixed order and trailing commas of a field stripped."""
    ordered = {name: fields[name].rstrip(",").strip() for name in FIELDS if fields.get(name, "").rstrip(",").strip()}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
