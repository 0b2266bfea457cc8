"""mysqlclient (MySQLdb): Python on the C client library."""
import MySQLdb, MySQLdb.cursors
from MySQLdb.constants import CLIENT
from importlib.metadata import version
import dbapi


class MySQLClient(dbapi.Driver):
    errors = MySQLdb.Error

    def connect(self, local_infile=False, attributes=False, **more):
        known = dict(host=dbapi.HOST, port=dbapi.PORT, user=dbapi.USER, password=dbapi.PASSWORD, database=dbapi.SCHEMA, charset="utf8mb4", client_flag=CLIENT.MULTI_STATEMENTS, local_infile=local_infile, read_timeout=30)
        known.update(more)
        return MySQLdb.connect(**known)

    def tls(self):
        return self.connect(ssl_mode="REQUIRED")

    def stream(self, c):
        return c.cursor(MySQLdb.cursors.SSCursor)

    def change_user(self, c):
        c.change_user("other", "other", dbapi.SCHEMA)
        return True


dbapi.run(MySQLClient(), version("mysqlclient"))
