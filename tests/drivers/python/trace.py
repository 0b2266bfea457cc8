"""What scripts print: a step's name, then lines in which a value stands with its type, so that equal lines are equal values."""
import datetime, hashlib, os, sys, traceback


def step(name):
    print("== " + name)


def say(*words):
    print(" ".join(str(word) for word in words))


def value(v):
    if v is None:
        return "NULL"
    if isinstance(v, (bytes, bytearray, memoryview)):
        v = bytes(v)
        return "%s:%s" % ("bytes", v.hex() if len(v) <= 64 else "%d %s" % (len(v), hashlib.sha1(v).hexdigest()))
    if isinstance(v, str):
        return "str:%r" % v if len(v) <= 80 else "str:%d %s" % (len(v), hashlib.sha1(v.encode("utf8", "surrogateescape")).hexdigest())
    if isinstance(v, (set, frozenset)):
        return "set:%s" % sorted(v)
    if isinstance(v, (list, tuple)):
        return "[%s]" % ", ".join(value(one) for one in v)
    if isinstance(v, dict):
        return "{%s}" % ", ".join("%s: %s" % (key, value(v[key])) for key in v)
    if isinstance(v, (datetime.datetime, datetime.date, datetime.timedelta)):
        return "%s:%s" % (type(v).__name__, v)
    return "%s:%r" % (type(v).__name__, v)


def row(r):
    say("row", value(r))


def error(e):
    """An error as its driver tells it."""
    if isinstance(e, SystemError):
        # Its words hold an address.
        return say("error", type(e).__name__)
    say("error", type(e).__name__, getattr(e, "sqlstate", None) or "-", value(list(e.args)) if getattr(e, "args", None) else "")
    if isinstance(e, (ValueError, TypeError, AttributeError)):
        traceback.print_exc(file=sys.stderr)


def main(steps):
    """Runs the steps; one that fails in a way that it did not foresee says so, and the next goes on."""
    only = os.environ.get("WEIR_STEPS")
    for name, run in steps:
        if only and name not in only.split():
            continue
        step(name)
        try:
            run()
        except Exception as e:
            say("!", type(e).__name__, str(e).replace("\n", " "))
            traceback.print_exc(file=sys.stderr)
    print("== end")
    sys.stdout.flush()
