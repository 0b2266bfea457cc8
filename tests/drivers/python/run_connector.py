"""MySQL Connector/Python, in pure Python (`pure`) or on its C extension (`c`)."""
import sys

if sys.argv[1] == "c":
    import extension  # Finds its libraries.
import mysql.connector

if sys.argv[1] == "c":
    import mysql.connector.cursor_cext
import dbapi


class Connector(dbapi.Driver):
    # Results after the first raise the extension's own errors.
    errors = (mysql.connector.Error, getattr(mysql.connector.cursor_cext, "MySQLInterfaceError", mysql.connector.Error) if sys.argv[1] == "c" else mysql.connector.Error)

    def connect(self, local_infile=False, attributes=False, **more):
        known = dict(host=dbapi.HOST, port=dbapi.PORT, user=dbapi.USER, password=dbapi.PASSWORD, database=dbapi.SCHEMA, charset="utf8mb4", use_pure=sys.argv[1] == "pure", allow_local_infile=local_infile, ssl_disabled=True, get_warnings=True)
        if attributes:
            known["conn_attrs"] = {"program_name": "drivers-test"}
        known.update(more)
        return mysql.connector.connect(**known)

    def tls(self):
        return self.connect(ssl_disabled=False)

    def thread_id(self, c):
        return c.connection_id

    def autocommit(self, c, on):
        c.autocommit = on

    def ping(self, c):
        return c.ping()

    def reset(self, c):
        c.cmd_reset_connection()
        return True

    def change_user(self, c):
        c.cmd_change_user("other", "other", dbapi.SCHEMA)
        return True

    def prepared(self, c):
        return c.cursor(prepared=True)

    def out_parameters(self, cur, name, args):
        dbapi.say("out", dbapi.value(cur.callproc(name, args)))
        for result in cur.stored_results():
            dbapi.say(dbapi.columns(result))
            for r in result.fetchall():
                dbapi.row(r)

    def warnings(self, cur):
        dbapi.say("warnings", cur.warning_count, dbapi.value(cur.warnings))


dbapi.run(Connector(), mysql.connector.__version__)
