"""What schemathesis is told before it begins."""

import schemathesis

# an archive is sent as it is, whatever it is called
schemathesis.serializer.alias("application/gzip", "application/octet-stream")
