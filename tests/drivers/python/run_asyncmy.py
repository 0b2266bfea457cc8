"""asyncmy: asyncio with a protocol in Cython."""
import ssl
import asyncmy
from asyncmy.constants import CLIENT
from asyncmy.cursors import SSCursor
from importlib.metadata import version
import awaited, dbapi


class AsyncMy(dbapi.Driver):
    errors = asyncmy.errors.Error
    has_deadlock = False
    # It hands the file's name on in a type that it does not take.
    has_local_files = False

    def connect(self, local_infile=False, attributes=False, database=dbapi.SCHEMA, **more):
        known = dict(host=dbapi.HOST, port=dbapi.PORT, user=dbapi.USER, password=dbapi.PASSWORD, db=database, charset="utf8mb4", client_flag=CLIENT.MULTI_STATEMENTS, local_infile=local_infile)
        if attributes:
            known["program_name"] = "drivers-test"
        known.update(more)
        return awaited.Connection(awaited.done(asyncmy.connect(**known)))

    def tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return self.connect(ssl=context)

    def stream(self, c):
        return c.cursor(SSCursor)


dbapi.run(AsyncMy(), version("asyncmy"))
