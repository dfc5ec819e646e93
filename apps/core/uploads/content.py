"""What a file is by its first bytes, whatever it is called. Archives are named and refused, never opened."""

import re

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

HEAD_BYTES = 64 * 1024

_ARCHIVE = _(
    "This is a %(kind)s archive, and archives are not opened here. Unpack it and upload the CSV, TSV, JSONL or JSON"
    " file in it."
)
_SHEET = _("This is a spreadsheet of %(kind)s. Save the sheet as CSV (File, Save as, CSV UTF-8) and upload that.")
_TABLE = _("This is a %(kind)s file. Export it as CSV or JSONL and upload that.")
_DOCUMENT = _("This is a %(kind)s document. Upload a table of inputs and expected answers as CSV, TSV, JSONL or JSON.")
_OTHER = _("This is %(kind)s, not a table of text. Upload inputs and expected answers as CSV, TSV, JSONL or JSON.")
_PROGRAM = _("This is a program (%(kind)s). Programs are not accepted: upload a CSV, TSV, JSONL or JSON file.")
_EMPTY = _("The file is empty. Upload a CSV, TSV, JSONL or JSON file with at least one row.")

# (offset, first bytes, sentence, what it is called there)
_MAGIC: tuple[tuple[int, bytes, Promise, str | Promise], ...] = (
    (0, b"\x1f\x8b", _ARCHIVE, "gzip"),
    (0, b"\xfd7zXZ\x00", _ARCHIVE, "xz"),
    (0, b"\x28\xb5\x2f\xfd", _ARCHIVE, "Zstandard"),
    (0, b"7z\xbc\xaf\x27\x1c", _ARCHIVE, "7-Zip"),
    (0, b"Rar!\x1a\x07", _ARCHIVE, "RAR"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _SHEET, _("an old Microsoft Office")),
    (0, b"SQLite format 3\x00", _TABLE, "SQLite"),
    (0, b"\x89HDF\r\n", _TABLE, "HDF5"),
    (0, b"\x93NUMPY", _TABLE, "NumPy"),
    (0, b"%PDF-", _DOCUMENT, "PDF"),
    (0, b"{\\rtf1", _DOCUMENT, "RTF"),
    (0, b"\x7fELF", _PROGRAM, "ELF"),
    (0, b"\xca\xfe\xba\xbe", _PROGRAM, "Java or Mach-O"),
    (0, b"\xcf\xfa\xed\xfe", _PROGRAM, "Mach-O"),
    (0, b"\x00asm", _PROGRAM, "WebAssembly"),
    (0, b"#!/", _PROGRAM, _("a script")),
    (0, b"\x89PNG\r\n", _OTHER, _("a PNG image")),
    (0, b"\xff\xd8\xff", _OTHER, _("a JPEG image")),
    (0, b"\x80\x02", _OTHER, _("a Python pickle")),
    (0, b"\x80\x03", _OTHER, _("a Python pickle")),
    (0, b"\x80\x04", _OTHER, _("a Python pickle")),
    (0, b"\x80\x05", _OTHER, _("a Python pickle")),
)
# Letters that the name of a column may also begin with: these count only with a NUL byte behind them.
_LETTERS: tuple[tuple[int, bytes, Promise, str | Promise], ...] = (
    (0, b"BZh", _ARCHIVE, "bzip2"),
    (257, b"ustar", _ARCHIVE, "tar"),
    (0, b"PAR1", _TABLE, "Parquet"),
    (0, b"ARROW1", _TABLE, "Arrow"),
    (0, b"MZ", _PROGRAM, "Windows"),
    (0, b"BM", _OTHER, _("a bitmap image")),
    (0, b"GIF8", _OTHER, _("a GIF image")),
    (8, b"WEBP", _OTHER, _("a WebP image")),
    (4, b"ftyp", _OTHER, _("a video or an image")),
    (0, b"OggS", _OTHER, _("a sound")),
    (0, b"ID3", _OTHER, _("a sound")),
    (0, b"RIFF", _OTHER, _("a sound or a video")),
)
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|\?xml|svg)\b", re.IGNORECASE)


def refusal_of(head: bytes) -> str | None:
    """Why a file that begins with `head` (up to HEAD_BYTES) is refused, or None when it may be a table of text."""
    if not head:
        return str(_EMPTY)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_refusal(head)
    known = (*_MAGIC, *_LETTERS) if b"\x00" in head[:1024] else _MAGIC
    for offset, magic, sentence, kind in known:
        if head[offset : offset + len(magic)] == magic:
            return sentence % {"kind": kind}
    return _OTHER % {"kind": _("a web page or XML")} if _MARKUP.match(head) else None


def _zip_refusal(head: bytes) -> str:
    """By the names of the first members, which stand in the clear."""
    if b"xl/" in head:
        return _SHEET % {"kind": "Microsoft Excel"}
    if b"opendocument.spreadsheet" in head:
        return _SHEET % {"kind": "OpenDocument"}
    if b"word/" in head:
        return _DOCUMENT % {"kind": "Microsoft Word"}
    return _ARCHIVE % {"kind": "ZIP"}
