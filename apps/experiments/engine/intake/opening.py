"""From a path to a source of records, with everything about the file as a whole checked and recorded."""

from pathlib import Path

from apps.core.engine.messages import EngineError, gettext_noop
from apps.experiments.engine.intake.problems import ProblemLog
from apps.experiments.engine.intake.reading import Source, converted
from apps.experiments.engine.intake.sniff import sniff
from apps.experiments.engine.intake.spec import Spec

_ENCODING_NAMES = {"cp1252": "Windows-1252", "latin-1": "ISO 8859-1", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


def open_source(spec: Spec, folder: Path, log: ProblemLog) -> Source:
    """The file, known to be text, and rewritten as UTF-8 in `folder` where that is needed and accepted.

    EngineError for what is no table, is too large, or cannot be read in part without accepting its encoding.
    """
    path = Path(spec.file)
    size = path.stat().st_size
    if size > spec.limits.max_bytes:
        raise EngineError(
            gettext_noop("The file has %(size)s MB; at most %(limit)s MB are read."),
            size=-(-size // 10**6),
            limit=spec.limits.max_bytes // 10**6,
        )
    kind = sniff(path)
    if kind.bom:
        log.add("bom", line=0, effect="fixed")
    if kind.encoding != "utf-8":
        name = _ENCODING_NAMES.get(kind.encoding, kind.encoding.upper())
        accepted = spec.accepts("encoding")
        log.add("encoding", line=0, effect="fixed" if accepted else "kept", encoding=name)
        if not accepted and kind.encoding.startswith("utf"):
            raise EngineError(gettext_noop("The file is %(encoding)s text. Accept that it is read so."), encoding=name)
        if not accepted:
            # Lines of plain ASCII can still be used; the others are left out one by one.
            return Source(path, kind, spec, log)
    if not kind.convert:
        return Source(path, kind, spec, log)
    plain = folder / "text.utf8"
    converted(path, kind, plain)
    return Source(plain, kind, spec, log)
