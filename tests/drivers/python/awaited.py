"""An asyncio driver behind the DB-API's calls: each one runs the loop until it is done."""
import asyncio

LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)


def done(it):
    async def wait():
        return await it

    return LOOP.run_until_complete(asyncio.wait_for(wait(), 60)) if hasattr(it, "__await__") else it


class Cursor:
    def __init__(self, cursor):
        self.cursor = cursor

    def __getattr__(self, name):
        attribute = getattr(self.cursor, name)
        return (lambda *args, **more: done(attribute(*args, **more))) if callable(attribute) else attribute

    def __iter__(self):
        while True:
            r = self.fetchone()
            if r is None:
                return
            yield r


class Connection:
    def __init__(self, c):
        self.c = c

    def cursor(self, *kinds):
        cursor = self.c.cursor(*kinds)
        return Cursor(done(cursor))

    def __getattr__(self, name):
        attribute = getattr(self.c, name)
        return (lambda *args, **more: done(attribute(*args, **more))) if callable(attribute) else attribute
