"""Receiving a file of a form straight into quarantine: no whole file in memory, no copy in a temporary folder."""

from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.uploadhandler import FileUploadHandler, SkipFile, StopUpload

from apps.core.uploads.names import display_name
from apps.core.uploads.quarantine import Incoming, Quarantined, TooLarge, quarantined_delete


class QuarantineHandler(FileUploadHandler):
    """Takes the one file of a request. Set it as the request's only handler before anything reads the form.

    Afterwards either `received` is the file, or `too_large` is true, or no file was sent. Call `release` at the end:
    a file that nobody has taken is deleted.
    """

    chunk_size = 256 * 1024

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self.received: Quarantined | None = None
        self.sent_name = ""
        self.too_large = False
        self._incoming: Incoming | None = None
        self._taken = False

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.received is not None:
            raise SkipFile
        self.sent_name = display_name(self.file_name or "")
        self._incoming = Incoming(max_bytes=settings.UPLOAD_MAX_BYTES)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert self._incoming is not None
        try:
            self._incoming.write(raw_data)
        except TooLarge:
            self._incoming, self.too_large = None, True
            # The rest is read and thrown away, so that the sender hears the answer.
            raise StopUpload(connection_reset=False) from None

    def file_complete(self, file_size: int) -> Any:
        assert self._incoming is not None
        self.received = self._incoming.keep(self.sent_name)
        self._incoming = None
        # A form asks for the name and the size; nothing in this process opens the file.
        shown = File(None, name=self.received.name)
        shown.size = self.received.size_bytes
        return shown

    def upload_interrupted(self) -> None:
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def take(self) -> Quarantined | None:
        """The file, which is the caller's to keep or delete from now on."""
        self._taken = True
        return self.received

    def release(self) -> None:
        """Delete what nobody has taken."""
        self.upload_interrupted()
        if self.received is not None and not self._taken:
            quarantined_delete(self.received.stored_name)
