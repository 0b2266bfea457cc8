"""SQLAlchemy: its core and ORM on PyMySQL and on mysqlclient (the argument), with its pool, reflection and streams."""
import datetime, decimal, sys
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql
from dbapi import HOST, PASSWORD, PORT, SCHEMA, USER
from trace import main, say, value

URL = sa.URL.create("mysql+" + sys.argv[1], USER, PASSWORD, HOST, PORT, SCHEMA, query={"charset": "utf8mb4"})
engine = sa.create_engine(URL, pool_size=1, max_overflow=1, pool_pre_ping=True)


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "sa_authors"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(60), unique=True)
    born: orm.Mapped[datetime.datetime | None] = orm.mapped_column(mysql.DATETIME(fsp=6))
    score: orm.Mapped[decimal.Decimal | None] = orm.mapped_column(sa.Numeric(20, 5))
    extra: orm.Mapped[dict | None] = orm.mapped_column(sa.JSON)
    raw: orm.Mapped[bytes | None] = orm.mapped_column(sa.LargeBinary)
    big: orm.Mapped[int | None] = orm.mapped_column(mysql.BIGINT(unsigned=True))
    kind: orm.Mapped[str | None] = orm.mapped_column(sa.Enum("a", "b"))
    version: orm.Mapped[int] = orm.mapped_column(default=1)
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", cascade="all, delete-orphan")
    __mapper_args__ = {"version_id_col": version}


class Book(Base):
    __tablename__ = "sa_books"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("sa_authors.id"))
    title: orm.Mapped[str] = orm.mapped_column(sa.String(100), index=True)
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")


def shown(rows):
    for one in rows:
        say("row", value(tuple(one)))


def failed(e):
    say("error", type(e).__name__, type(e.orig).__name__ if getattr(e, "orig", None) else "-", value(list(e.orig.args)) if getattr(e, "orig", None) else "")


def schema():
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    inspector = sa.inspect(engine)
    say(sorted(inspector.get_table_names()), inspector.get_view_names())
    for table in ("people", "items", "sa_authors"):
        for column in inspector.get_columns(table):
            say(table, column["name"], column["type"], column["nullable"], column.get("autoincrement"))
        say(inspector.get_pk_constraint(table), inspector.get_foreign_keys(table), inspector.get_indexes(table))


def unit_of_work():
    with orm.Session(engine) as session:
        ada = Author(name="Ada 😀", born=datetime.datetime(1815, 12, 10, 1, 2, 3, 456789), score=decimal.Decimal("1.5"), extra={"a": [1, None, "ü"]}, raw=b"\x00\xff", big=2**64 - 1, kind="b", books=[Book(title="Notes"), Book(title="More")])
        session.add_all([ada] + [Author(name="a%d" % n) for n in range(30)])
        session.flush()
        say(ada.id, [book.id for book in ada.books])
        session.commit()
        ada.score += 1
        ada.books.pop()
        session.commit()
        session.refresh(ada)
        say(value(ada.score), ada.version, value(ada.extra), value(ada.raw), value(ada.big), ada.kind, ada.born)
        try:
            session.add(Author(name="a1"))
            session.commit()
        except sa.exc.IntegrityError as e:
            failed(e)
            session.rollback()
        with session.begin_nested():
            session.add(Author(name="nested"))
        inner = session.begin_nested()
        session.add(Author(name="gone"))
        session.flush()
        inner.rollback()
        session.commit()
        say(session.scalar(sa.select(sa.func.count()).select_from(Author).where(Author.name.in_(["nested", "gone"]))))


def stale_rows():
    with orm.Session(engine) as one, orm.Session(engine) as other:
        a, b = one.get(Author, 1), other.get(Author, 1)
        a.name = "first"
        one.commit()
        b.name = "second"
        try:
            other.commit()
        except orm.exc.StaleDataError as e:
            say("stale")
        except sa.exc.OperationalError as e:
            failed(e)


def queries():
    with orm.Session(engine) as session:
        shown(session.execute(sa.select(Author.id, Author.name, sa.func.count(Book.id)).outerjoin(Book).group_by(Author.id, Author.name).order_by(Author.id).limit(5)))
        shown(session.execute(sa.select(Author.id).where(Author.name.like("a%")).order_by(Author.id.desc()).limit(3).offset(2)))
        say([len(a.books) for a in session.scalars(sa.select(Author).options(orm.selectinload(Author.books)).order_by(Author.id).limit(3))])
        say(session.scalar(sa.select(Author.id).where(Author.id == 2).with_for_update(nowait=True)))
        say(session.execute(sa.update(Author).where(Author.id > 10).values(score=5)).rowcount, session.execute(sa.delete(Author).where(Author.id > 25)).rowcount)
        session.commit()


def core():
    table = sa.Table("people", sa.MetaData(), autoload_with=engine)
    with engine.begin() as c:
        say(c.execute(table.insert().values(name="core", balance=1)).inserted_primary_key)
        say(c.execute(table.insert(), [{"name": "m%d" % n, "balance": n} for n in range(100)]).rowcount)
        upsert = mysql.insert(table).values(name="core", balance=7)
        say(c.execute(upsert.on_duplicate_key_update(balance=upsert.inserted.balance)).rowcount)
        shown(c.execute(sa.select(table.c.name, table.c.balance).where(table.c.balance > 95).order_by(table.c.id)))
    with engine.connect() as c:
        shown(c.execute(sa.text("SELECT * FROM types WHERE id = :id"), {"id": 1}))
        shown(c.execute(sa.text("SELECT :a AS a, :b AS b"), {"a": None, "b": "😀"}))
        for sql in ("SELEC 1", "SELECT * FROM none", "INSERT INTO people (name) VALUES ('Ada')"):
            try:
                c.execute(sa.text(sql))
            except sa.exc.DBAPIError as e:
                failed(e)
            c.rollback()


def streams():
    with engine.connect().execution_options(stream_results=True, max_row_buffer=50) as c:
        say(sum(row[0] for row in c.execute(sa.text("SELECT n FROM numbers WHERE n <= 1000"))))
        say(c.execute(sa.text("SELECT n FROM numbers ORDER BY n")).first())


def isolation():
    for level in ("READ COMMITTED", "SERIALIZABLE", "AUTOCOMMIT"):
        with engine.connect().execution_options(isolation_level=level) as c:
            say(level, c.get_isolation_level(), c.scalar(sa.text("SELECT @@autocommit")))
    with engine.connect() as c:
        say(c.get_isolation_level(), c.scalar(sa.text("SELECT @@autocommit")))


def killed_in_the_pool():
    with engine.connect() as c:
        id = c.scalar(sa.text("SELECT CONNECTION_ID()"))
    with sa.create_engine(URL).connect() as other:
        other.execute(sa.text("KILL %d" % id))
    with engine.connect() as c:
        say(c.scalar(sa.text("SELECT 'the pool looks before it gives'")), c.scalar(sa.text("SELECT CONNECTION_ID()")) != id)


def drops():
    Base.metadata.drop_all(engine)
    engine.dispose()
    say(sa.inspect(engine).has_table("sa_authors"))


print("# version " + sa.__version__)
main([(run.__name__.replace("_", "-"), run) for run in (schema, unit_of_work, stale_rows, queries, core, streams, isolation, killed_in_the_pool, drops)])
