"""The storage host: another origin, which hands out export files for signed, expiring links, as S3 does.

Belongs here: links, the download, damage to files (fault F-14), and noting tokens that were sent here by mistake.
Not here: how a file is written (`exports.py`).
"""

import hashlib
import hmac
import re
import zlib
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode

from resources.local_mailtrap.accounts import World
from resources.local_mailtrap.exchange import Answer, Header, Request
from resources.local_mailtrap.faults import Effects
from resources.local_mailtrap.jobs import Job
from resources.local_mailtrap.knobs import Knobs

_STAMP = "%Y%m%dT%H%M%SZ"


def signed_url(job: Job, *, origin: str, now: float, seconds: float) -> str:
    """The link to an export's file; it expires `seconds` after the export was finished."""
    stamp = datetime.fromtimestamp(job.updated_at(now), UTC).strftime(_STAMP)
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(int(seconds)),
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": _signature(job, stamp, str(int(seconds))),
    }
    return f"{origin}/data_exports/{job.details['name']}?{urlencode(query)}"


def _signature(job: Job, stamp: str, seconds: str) -> str:
    return hmac.new(job.details["secret"], f"{job.id} {stamp} {seconds}".encode(), hashlib.sha256).hexdigest()


def answer(request: Request, *, world: World, knobs: Knobs, now: float, effects: Effects) -> Answer:
    """GET of a file, with all that S3 would say against it."""
    leaked = [name for name in ("authorization", "api-token") if name in request.headers]
    if leaked:
        world.leaks.append({"at": now, "path": request.path, "headers": leaked})
    if "authorization" in leaked and knobs["storage_refuses_auth"]:
        return _error(400, "InvalidArgument", "Only one auth mechanism allowed")
    job = _job(request, world)
    if job is None or job.content is None or request.method != "GET":
        return _error(403, "AccessDenied", "Access Denied")
    if not _signed(job, request.parameters):
        return _error(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    if effects.of("expired") is not None or now >= _expires_at(request.parameters):
        return _error(403, "AccessDenied", "Request has expired")
    damage = effects.of("file") or job.details.get("file") or {}
    return _file(request, _damaged(job.content, damage), damage=damage, now=now)


def _job(request: Request, world: World) -> Job | None:
    name = request.path.removeprefix("/data_exports/")
    jobs = (job for account in world.accounts.values() for job in account.exports.values())
    return next((job for job in jobs if job.details["name"] == name), None)


def _signed(job: Job, query: dict[str, str]) -> bool:
    expected = _signature(job, query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", ""))
    return hmac.compare_digest(expected, query.get("X-Amz-Signature", ""))


def _expires_at(query: dict[str, str]) -> float:
    begun = datetime.strptime(query["X-Amz-Date"], _STAMP).replace(tzinfo=UTC)
    return begun.timestamp() + float(query["X-Amz-Expires"])


def _damaged(content: bytes, damage: Any) -> bytes:
    kind = damage.get("kind")
    if kind == "truncated":
        return content[: len(content) // 2]
    if kind == "not_gzip":
        return zlib.decompress(content, wbits=31)
    if kind == "html":
        return b"<html><body>Please try again later.</body></html>"
    if kind == "empty":
        return b""
    if kind == "empty_gzip":
        packer = zlib.compressobj(wbits=31)
        return packer.compress(b"") + packer.flush()
    if kind == "bad_checksum":
        return content[:-8] + bytes(each ^ 0xFF for each in content[-8:])
    return content


def _file(request: Request, content: bytes, *, damage: Any, now: float) -> Answer:
    headers: tuple[Header, ...] = (
        ("Date", formatdate(now, usegmt=True)),
        ("Server", "AmazonS3"),
        ("Content-Type", "application/gzip"),
        ("Accept-Ranges", "bytes"),
        ("ETag", f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'),
    )
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    status, whole = 200, len(content)
    if asked and int(asked[1]) < whole:
        last = min(int(asked[2] or whole - 1), whole - 1)
        headers += (("Content-Range", f"bytes {asked[1]}-{last}/{whole}"),)
        status, content = 206, content[int(asked[1]) : last + 1]
    made = Answer(status, content, headers, bare=True)
    if damage.get("kind") == "reset":
        return made.but(ending="cut_reset", cut_at=len(content) // 2)
    if damage.get("kind") == "wrong_length":
        return made.but(ending="cut", cut_at=len(content) // 2)
    return made


def _error(status: int, code: str, words: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{words}</Message></Error>'
    return Answer(
        status, body.encode(), (("Server", "AmazonS3"), ("Content-Type", "application/xml")), bare=True
    )
