"""`/packages/upload`: an archive comes as the body of a request."""

from __future__ import annotations

import json

from domogik.api.http.exchange import Call, Reply
from domogik.api.http.uploads import TooManyUploads, WrongBody, upload_of
from domogik.api.v1.face import json_reply
from domogik.api.v1.served import Served
from domogik.errors import NotPossible
from domogik.manager.operations.answers import UPLOADED
from domogik.manager.operations.shape import Shape
from domogik.manager.operations.table import BASE, Operation, Order, Right
from domogik.packages.archive.tarball import BrokenArchive

_TYPES = ("application/octet-stream", "application/gzip")
UPLOAD = Operation(
    "package.upload",
    f"POST {BASE}/packages/upload",
    UPLOADED,
    "Take an archive into the local repository, from where any host can install it",
    "uploadPackage",
    body=Shape({"type": "string", "format": "binary", "minLength": 1}),
    right=Right.CHANGE,
    errors=(NotPossible, WrongBody, BrokenArchive, TooManyUploads),
    status=201,
)


def upload() -> Served:
    """Answered with what was in it."""

    async def take(call: Call, order: Order) -> Reply:
        packages = order.context.packages
        with upload_of(call).taken() as path:
            ref = await packages.upload(path)
        where = ("Location", f"{BASE}/packages/{ref.fullname}")
        return json_reply(json.dumps(UPLOADED.json(ref)).encode("ascii"), 201, where)

    return Served(UPLOAD, take, body_types=_TYPES, statuses=(507,))
