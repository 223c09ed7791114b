"""What schemathesis is told before it begins."""

from urllib.parse import unquote

import schemathesis

# an archive is sent as it is, whatever it is called
schemathesis.serializer.alias("application/gzip", "application/octet-stream")


@schemathesis.hook
def before_call(context, case, kwargs):
    """REST, which is asked here, and dbmgr are not stopped: the hub cannot be.

    An identifier that comes from an earlier answer stands here in its percent-encoded form.
    """
    given = case.path_parameters or {}
    if unquote(str(given.get("id"))) in ("core:rest", "core:dbmgr"):
        given["id"] = "core:hub"
