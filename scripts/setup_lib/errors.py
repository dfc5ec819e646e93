"""What the person at the terminal can mend, in words."""

import errno

NOT_YOURS = "this account may not write there (a start with sudo leaves such files; sudo chown -R gives them back)"
REASONS = {
    errno.EACCES: NOT_YOURS,
    errno.EPERM: NOT_YOURS,
    errno.EROFS: "the disk can only be read",
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your share of the disk is used up: free some space",
    errno.ENOTDIR: "a part of this path is a file",
    errno.EEXIST: "there is a file of this name where a folder is needed",
}


class SetupError(Exception):
    """Something that the person at the terminal can mend. The text says what is wrong and what to do."""


def cannot_write_text(error: OSError) -> str:
    """Why something could not be written, and what to do. Empty for another kind of error, which is a fault of ours."""
    reason = REASONS.get(error.errno or 0)
    if reason is None:
        return ""
    return f"{error.filename or 'A file'} cannot be written: {reason}, or set LLMOPT_VAR_DIR to another folder."
