"""aiomysql: PyMySQL's protocol on asyncio."""
import ssl
import aiomysql, pymysql
from pymysql.constants import CLIENT
import awaited, dbapi


class AioMySQL(dbapi.Driver):
    errors = pymysql.err.Error
    has_deadlock = False

    def connect(self, local_infile=False, attributes=False, database=dbapi.SCHEMA, **more):
        known = dict(host=dbapi.HOST, port=dbapi.PORT, user=dbapi.USER, password=dbapi.PASSWORD, db=database, charset="utf8mb4", client_flag=CLIENT.MULTI_STATEMENTS, local_infile=local_infile)
        if attributes:
            known["program_name"] = "drivers-test"
        known.update(more)
        return awaited.Connection(awaited.done(aiomysql.connect(**known)))

    def tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return self.connect(ssl=context)

    def stream(self, c):
        return c.cursor(aiomysql.SSCursor)


dbapi.run(AioMySQL(), aiomysql.__version__)
