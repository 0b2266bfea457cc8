"""Changes of user by real drivers, each with accounts that nobody has logged in with yet: in full and fast, by TLS and by RSA, and refused."""
from importlib.metadata import version
import ctypes, importlib.util, os, re

# Connector/Python's extension needs the OpenSSL that comes with it, where the system's is older.
vendor = os.path.join(importlib.util.find_spec("mysql").submodule_search_locations[0], "vendor")
for library in ("libcrypto.so.3", "libssl.so.3"):
    if os.path.exists(os.path.join(vendor, library)):
        ctypes.CDLL(os.path.join(vendor, library), ctypes.RTLD_GLOBAL)
import MySQLdb
import mysql.connector
from trace import main, say

env = lambda name: os.environ["WEIR_" + name]
SCHEMA = env("SCHEMA")
known = dict(host=env("HOST"), port=int(env("PORT")), user=env("USER"), password=env("PASSWORD"), database=SCHEMA)
ways = {
    # The C client library of MariaDB's asks for the server's key where there is no TLS.
    "mysqlclient": (lambda: MySQLdb.connect(**known, ssl_mode="DISABLED"), lambda c, *login: c.change_user(*login)),
    "mysqlclient, TLS": (lambda: MySQLdb.connect(**known, ssl_mode="REQUIRED"), lambda c, *login: c.change_user(*login)),
    "connector": (lambda: mysql.connector.connect(**known, use_pure=True, ssl_disabled=True), lambda c, *login: c.cmd_change_user(*login)),
    "connector, TLS": (lambda: mysql.connector.connect(**known, use_pure=True), lambda c, *login: c.cmd_change_user(*login)),
    "connector in C, TLS": (lambda: mysql.connector.connect(**known, use_pure=False), lambda c, *login: c.cmd_change_user(*login)),
}
ACCOUNTS = {
    "full": "IDENTIFIED WITH caching_sha2_password BY 'secret'",
    "none": "IDENTIFIED WITH caching_sha2_password BY ''",
    "long": "IDENTIFIED BY '" + "ü long password " * 6 + "'",
    "locked": "IDENTIFIED BY 'secret' ACCOUNT LOCK",
    "expired": "IDENTIFIED BY 'secret' PASSWORD EXPIRE",
    "sha256": "IDENTIFIED WITH sha256_password BY 'secret'",
    "native": "IDENTIFIED WITH mysql_native_password BY 'secret'",
}
PASSWORDS = {"none": "", "long": "ü long password " * 6}


def told(e):
    words = e.args[1] if isinstance(e.args[0], int) and len(e.args) > 1 else str(e)
    say("error", e.args[0] if isinstance(e.args[0], int) else "-", re.sub(r"@'[^']*'", "@HOST", re.sub(r"0x[0-9a-f]+|\d+\.\d+\.\d+\.\d+:\d+", "", str(words))))


def ask(c, sql):
    cursor = c.cursor()
    cursor.execute(sql)
    say(*cursor.fetchone())
    cursor.close()


def change(way, user, password, schema=SCHEMA):
    open_, change_ = ways[way]
    c = open_()
    try:
        ask(c, "SELECT @mark := 1")
        for _ in range(2):
            # In full, then fast: the server knows the password now.
            change_(c, user, password, schema)
            ask(c, "SELECT CONCAT_WS(' ', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), SUBSTRING_INDEX(USER(), '@', 1), DATABASE(), @mark, @@autocommit)")
        change_(c, env("USER"), env("PASSWORD"), SCHEMA)
        ask(c, "SELECT CONCAT_WS(' ', CURRENT_USER(), DATABASE(), (SELECT COUNT(*) FROM people))")
    except (MySQLdb.Error, mysql.connector.Error) as e:
        told(e)
    finally:
        try:
            c.close()
        except (MySQLdb.Error, mysql.connector.Error):
            pass


def steps(way, number):
    def run():
        admin = MySQLdb.connect(**known, ssl_mode="REQUIRED")
        cursor = admin.cursor()
        for name, identified in ACCOUNTS.items():
            if name == "sha256" and way == "connector":
                # It tells of the plugin that the server asks it for, where a gate asks for another.
                continue
            user = "cu_%d_%s" % (number, name)
            cursor.execute("DROP USER IF EXISTS " + user)
            try:
                cursor.execute("CREATE USER %s %s" % (user, identified))
                cursor.execute("GRANT SELECT ON %s.* TO %s" % (SCHEMA, user))
            except MySQLdb.Error as e:
                say("--", name)
                told(e)
                continue
            if name == "full":
                say("-- wrong")
                change(way, user, "wrong")
                say("-- a schema that is another's")
                change(way, user, "secret", "mysql")
            say("--", name)
            change(way, user, PASSWORDS.get(name, "secret"))
            if name == "full":
                # A changed password counts at once.
                cursor.execute("ALTER USER %s IDENTIFIED BY 'newer'" % user)
                for password in ("secret", "newer"):
                    say("-- changed,", password)
                    change(way, user, password)
            cursor.execute("DROP USER " + user)
        if way != "connector":
            # MySQL asks for any plugin then, so that nobody learns who there is.
            say("-- nobody")
            change(way, "cu_nobody", "secret")
        admin.close()

    return run


def requires_tls():
    admin = MySQLdb.connect(**known, ssl_mode="REQUIRED")
    cursor = admin.cursor()
    for sql in ("DROP USER IF EXISTS cu_tls", "CREATE USER cu_tls IDENTIFIED BY 'secret' REQUIRE SSL", "GRANT SELECT ON %s.* TO cu_tls" % SCHEMA):
        cursor.execute(sql)
    for way in ("mysqlclient", "mysqlclient, TLS"):
        change(way, "cu_tls", "secret")
    cursor.execute("DROP USER cu_tls")
    admin.close()


print("# version", version("mysqlclient"))
main([(way.replace(", ", "-").replace(" ", "-"), steps(way, number)) for number, way in enumerate(ways)] + [("requires-tls", requires_tls)])
