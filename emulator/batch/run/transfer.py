"""Files that a task wants before it starts, and files that it leaves behind for storage."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from emulator.batch.run.failures import TaskFault, failure
from emulator.batch.run.layout import TaskFolder, share
from emulator.blob.errors import BlobError

DEFAULT_MODE = 0o770
_MODE = re.compile(r"(0o)?[0-7]{1,4}", re.ASCII)
_WILDCARDS = re.compile(r"[*?\[]")
_PIECES = re.compile(r"\*+|\?|\[!?\]?[^]/]*\]|.")
_ANY_FOLDERS = r"(?:(?!\.)[^/]+/)*"


class Blobs(Protocol):
    """What the storage service offers here."""

    def upload(self, container_url: str, name: str, source: Path) -> None:
        """Write a file under a signed address of a container, or raise BlobError."""

    def download(self, url: str, target: Path) -> None:
        """Fetch a blob by its signed address, or raise BlobError."""


def fetch(
    blobs: Blobs, files: Sequence[Mapping[str, Any]], folder: TaskFolder, owner: tuple[int, int] | None
) -> None:
    """Put the resource files below the working folder; raise TaskFault when one cannot be had."""
    for file in files:
        url = file.get("httpUrl")
        if url is None:
            raise _misc("The local Azure fetches resource files by httpUrl only", file)
        name, mode = str(file.get("filePath") or _last_part(url, file)), _mode(file)
        try:
            target = _inside(folder.working, name, file)
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = "A resource directory could not be created"
            fault = failure("ResourceDirectoryCreateFailed", message, FilePath=name, Message=error.strerror)
            raise TaskFault(fault) from error
        try:
            blobs.download(str(url), target)
        except BlobError as error:
            raise _download_fault(error, file) from error
        except OSError as error:
            raise _not_created(name, error.strerror) from error
        share(target, owner)
        target.chmod(mode)


def _last_part(url: object, file: Mapping[str, Any]) -> str:
    try:
        return unquote(urlsplit(str(url)).path).rpartition("/")[2]
    except ValueError as error:
        raise _misc("The address cannot be read", file) from error


def _mode(file: Mapping[str, Any]) -> int:
    text = str(file.get("fileMode") or "")
    if text and not _MODE.fullmatch(text):
        raise _not_created(str(file.get("filePath")), f"{text} is not a mode in octal form")
    return int(text, 8) if text else DEFAULT_MODE


def _not_created(name: str, reason: str | None) -> TaskFault:
    message = "A resource file could not be created"
    return TaskFault(failure("ResourceFileCreateFailed", message, FilePath=name, Message=reason))


def _inside(folder: Path, name: str, file: Mapping[str, Any]) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise _not_created(name, None)
    target = folder.joinpath(*parts)
    if not target.parent.resolve().is_relative_to(folder.resolve()) or target.is_symlink():
        raise _misc("The path leads out of the working folder", file)
    return target


def _download_fault(error: BlobError, file: Mapping[str, Any]) -> TaskFault:
    codes = {404: "BlobNotFound", 403: "BlobAccessDenied", 401: "BlobAccessDenied", 409: "BlobAccessDenied"}
    code = codes.get(error.status, "BlobDownloadMiscError")
    messages = {
        "BlobNotFound": "One of the specified Azure Blob(s) is not found",
        "BlobAccessDenied": "Access for one of the specified Azure Blob(s) is denied",
    }
    message = messages.get(
        code, "Miscellaneous error encountered while downloading one of the specified files"
    )
    return TaskFault(
        failure(code, message, FilePath=file.get("filePath"), BlobSource=_plain(file), Message=error.code)
    )


def _misc(reason: str, file: Mapping[str, Any]) -> TaskFault:
    message = "Miscellaneous error encountered while downloading one of the specified files"
    return TaskFault(failure("BlobDownloadMiscError", message, FilePath=file.get("filePath"), Message=reason))


def _plain(file: Mapping[str, Any]) -> str:
    """Return the address without its signature."""
    return str(file.get("httpUrl", "")).partition("?")[0]


def deliver(
    blobs: Blobs, outputs: Sequence[Mapping[str, Any]], folder: TaskFolder, *, succeeded: bool
) -> None:
    """Upload the output files whose condition holds; raise TaskFault at the first that cannot be written."""
    for output in outputs:
        condition = str(output["uploadOptions"]["uploadCondition"]).lower()
        if condition not in ("taskcompletion", "tasksuccess" if succeeded else "taskfailure"):
            continue
        container = output["destination"]["container"]
        url, path = str(container["containerUrl"]), str(container.get("path") or "")
        for name, file in targets(folder.working, str(output["filePattern"]), path):
            try:
                blobs.upload(url, name, file)
            except (BlobError, OSError) as error:
                raise _upload_fault(error, url, file) from error


def _upload_fault(error: BlobError | OSError, url: str, file: Path) -> TaskFault:
    if isinstance(error, BlobError) and error.code == "ContainerNotFound":
        code = "FileUploadContainerNotFound"
        message = "The specified container was not found while uploading an output file"
    elif isinstance(error, BlobError) and error.status in (401, 403):
        code, message = "FileUploadAccessDenied", "Access was denied while uploading an output file"
    else:
        code, message = "FileUploadMiscError", "An error occurred while uploading an output file"
    return TaskFault(
        failure(code, message, FilePath=file.name, Container=url.partition("?")[0], Message=str(error))
    )


def targets(working: Path, pattern: str, path: str) -> Iterator[tuple[str, Path]]:
    """Yield blob name and file for each match of a pattern, which is relative to the working folder.

    Without a wildcard the path is the blob's name, with one it is what the names begin with.
    """
    folder = working
    rest = pattern
    while rest.startswith("../"):
        folder, rest = folder.parent, rest.removeprefix("../")
    if not folder.is_relative_to(working.parent):
        return
    if not _WILDCARDS.search(rest):
        file = folder / rest
        if _is_file(file) and not _leads_out(file, working.parent):
            yield path or PurePosixPath(rest).as_posix(), file
        return
    expression = _expression(rest)
    for file in sorted(_files_below(folder)):
        relative = file.relative_to(folder).as_posix()
        if expression.fullmatch(relative) and not _leads_out(file, working.parent):
            yield f"{path.rstrip('/')}/{relative}" if path else relative, file


def _leads_out(file: Path, folder: Path) -> bool:
    """Tell whether links lead a file out of the task's folder: the emulator must not send what the task cannot read."""
    return not file.resolve().is_relative_to(folder.resolve())


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            if _is_file(file):
                yield file


def _is_file(path: Path) -> bool:
    """Tell whether this is a file; what no file can be called is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _expression(pattern: str) -> re.Pattern[str]:
    """Translate a pattern: `**` crosses folders, `*` and `?` do not, and a leading dot has to be written."""
    *folders, last = pattern.split("/")
    text = "".join(_ANY_FOLDERS if each == "**" else f"{_segment(each)}/" for each in folders)
    return re.compile(text + (f"{_ANY_FOLDERS}{_segment('*')}" if last == "**" else _segment(last)))


def _segment(segment: str) -> str:
    hidden = "" if segment.startswith(".") else r"(?!\.)"
    return hidden + "".join(_piece(piece) for piece in _PIECES.findall(segment))


def _piece(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if len(piece) > 2 and piece.startswith("["):
        inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
        found = f"[^/{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
        return found if _is_expression(found) else "(?!)"
    return re.escape(piece)


def _is_expression(text: str) -> bool:
    """Tell whether the text is one: a range of letters that runs backwards is not, and matches nothing."""
    try:
        re.compile(text)
    except re.error:
        return False
    return True
