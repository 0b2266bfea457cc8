"""PyMySQL: the usual pure-Python driver."""
import ssl
import pymysql
from pymysql.constants import CLIENT
from importlib.metadata import version
import dbapi


class PyMySQL(dbapi.Driver):
    errors = pymysql.err.Error

    def connect(self, local_infile=False, attributes=False, **more):
        known = dict(host=dbapi.HOST, port=dbapi.PORT, user=dbapi.USER, password=dbapi.PASSWORD, database=dbapi.SCHEMA, charset="utf8mb4", client_flag=CLIENT.MULTI_STATEMENTS, local_infile=local_infile, read_timeout=30)
        if attributes:
            known["program_name"] = "drivers-test"
        known.update(more)
        return pymysql.connect(**known)

    def tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return self.connect(ssl=context)

    def stream(self, c):
        return c.cursor(pymysql.cursors.SSCursor)

    def warnings(self, cur):
        for one in cur.connection.show_warnings():
            dbapi.row(one)


dbapi.run(PyMySQL(), version("PyMySQL"))
