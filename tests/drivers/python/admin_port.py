"""The admin port with PyMySQL (`pymysql`) or Connector/Python (`pure`, `c`), as the other languages' scripts of that name do."""
import os, sys

HOST, PORT, USER, PASSWORD, VICTIM = (os.environ["WEIR_" + name] for name in ("HOST", "PORT", "USER", "PASSWORD", "VICTIM"))
known = dict(host=HOST, port=int(PORT), user=USER, password=PASSWORD)
if sys.argv[1] == "pymysql":
    import pymysql
    from pymysql.constants import CLIENT

    Error = pymysql.err.Error
    c = pymysql.connect(**known, charset="utf8mb4", client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True)
else:
    if sys.argv[1] == "c":
        import extension  # Finds its libraries.
    import mysql.connector

    Error = mysql.connector.Error
    c = mysql.connector.connect(**known, charset="utf8mb4", use_pure=sys.argv[1] == "pure", autocommit=True)


def ask(sql, args=None, **cursor):
    cur = c.cursor(**cursor)
    cur.execute(sql, args)
    return cur.fetchall() if cur.description else []


def number(error):
    return error.args[0]


print("status", ask("SHOW WEIR STATUS LIKE 'cores'")[0][0])
print("session", *[row[1] for row in ask("SHOW WEIR SESSIONS LIKE %s", ("ap_",)) if str(row[0]) == VICTIM])
print("digests", len(ask("SHOW WEIR DIGESTS LIMIT 1")))
print("route", ask("EXPLAIN ROUTE SELECT 1 FROM t")[0][0])
ask("SET GLOBAL read_write_splitting_ratio = 41")
print("ratio", ask("SELECT @@read_write_splitting_ratio")[0][0])
ask("KILL " + VICTIM)
print("killed")
try:
    ask("SELECT * FROM mysql.user")
except Error as error:
    print("error", number(error))
if sys.argv[1] == "pymysql":
    print("prepared not by this driver")
else:
    first = ask("SHOW WEIR STATUS LIKE 'cores'", prepared=True)[0][0]
    try:
        print("prepared", first, ask("SHOW WEIR STATUS LIKE %s", ("cores",), prepared=True))
    except Error as error:
        print("prepared", first, number(error))
c.rollback()
c.ping()
print("end", ask("SELECT 1")[0][0])
c.close()
