"""Django's ORM on mysqlclient: its migrations' schema editor, transactions, queries."""
import datetime, decimal, os, sys, types
import django
from django.conf import settings
from dbapi import HOST, PASSWORD, PORT, SCHEMA, USER
from trace import main, say, value

# An application without files of its own: its models stand below.
application = types.ModuleType("drivers")
application.__path__ = [os.path.dirname(os.path.abspath(__file__))]
sys.modules["drivers"] = application
settings.configure(
    INSTALLED_APPS=["drivers"],
    DATABASES={"default": {"ENGINE": "django.db.backends.mysql", "NAME": SCHEMA, "USER": USER, "PASSWORD": PASSWORD, "HOST": HOST, "PORT": PORT, "OPTIONS": {"charset": "utf8mb4", "isolation_level": "read committed"}, "CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": 60}},
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
from django.db import IntegrityError, OperationalError, ProgrammingError, connection, models, transaction
from django.db.models import Count, F, Q, Sum


class Author(models.Model):
    name = models.CharField(max_length=60, unique=True)
    born = models.DateTimeField(null=True)
    score = models.DecimalField(max_digits=20, decimal_places=5, null=True)
    extra = models.JSONField(null=True)
    raw = models.BinaryField(null=True)
    big = models.PositiveBigIntegerField(null=True)
    lasted = models.DurationField(null=True)
    is_old = models.BooleanField(default=False)

    class Meta:
        app_label = "drivers"


class Book(models.Model):
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    title = models.CharField(max_length=100)

    class Meta:
        app_label = "drivers"
        indexes = [models.Index(fields=["title"], name="by_title")]


def failed(e):
    say("error", type(e).__name__, value(list(e.args)))


def schema():
    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Book)
    with connection.cursor() as cur:
        say(sorted(connection.introspection.table_names(cur)))
        for one in connection.introspection.get_table_description(cur, "drivers_author"):
            say(value(tuple(one)))
        say(value(connection.introspection.get_relations(cur, "drivers_book")))
    say(connection.features.supports_json_field, connection.mysql_is_mariadb, connection.isolation_level)


def create():
    ada = Author.objects.create(name="Ada 😀", born=datetime.datetime(1815, 12, 10, 1, 2, 3, 456789, tzinfo=datetime.timezone.utc), score=decimal.Decimal("1.5"), extra={"a": [1, None, "ü"]}, raw=b"\x00\xff", big=2**63, lasted=datetime.timedelta(days=3, microseconds=7), is_old=True)
    ada.refresh_from_db()
    say(ada.pk, ada.born, value(ada.score), value(ada.extra), value(bytes(ada.raw)), ada.big, ada.lasted, ada.is_old)
    say(len(Author.objects.bulk_create([Author(name="a%d" % n) for n in range(50)], batch_size=20)))
    Book.objects.bulk_create([Book(author=ada, title=title) for title in ("Notes", "More")])
    say(Author.objects.get_or_create(name="a1")[1], Author.objects.update_or_create(name="a2", defaults={"big": 5})[1])
    say(len(Author.objects.bulk_create([Author(name="a3", big=9)], update_conflicts=True, update_fields=["big"])), Author.objects.get(name="a3").big)
    Author.objects.bulk_create([Author(name="a4")], ignore_conflicts=True)


def queries():
    say(Author.objects.count(), list(Author.objects.filter(Q(name__startswith="a1") | Q(big=5)).order_by("pk").values_list("pk", "name")))
    say(list(Author.objects.annotate(n=Count("books")).filter(n__gt=0).values("name", "n")), Author.objects.aggregate(Sum("big")))
    say(Author.objects.filter(name__contains="1").update(score=F("score") + 1), Author.objects.filter(extra__a__0=1).exists(), Author.objects.filter(born__year=1815).count())
    say(value(Author.objects.filter(pk__lt=10).explain() != ""), [a.pk for a in Author.objects.raw("SELECT id FROM drivers_author ORDER BY id LIMIT 3")])
    say(sum(1 for _ in Author.objects.order_by("pk").iterator(chunk_size=7)), list(Author.objects.values_list("name", flat=True).order_by("-pk")[3:6]))
    say(Book.objects.select_related("author").get(title="Notes").author.name, [len(a.books.all()) for a in Author.objects.prefetch_related("books").order_by("pk")[:2]])


def transactions():
    try:
        with transaction.atomic():
            Author.objects.create(name="kept no")
            Author.objects.create(name="a1")
    except IntegrityError as e:
        failed(e)
    with transaction.atomic():
        Author.objects.create(name="kept")
        try:
            with transaction.atomic():
                Author.objects.create(name="a1")
        except IntegrityError as e:
            failed(e)
        say(Author.objects.select_for_update(nowait=True).filter(name__startswith="kept").count())
        point = transaction.savepoint()
        Author.objects.create(name="gone")
        transaction.savepoint_rollback(point)
    say(list(Author.objects.filter(name__in=["kept", "kept no", "gone"]).values_list("name", flat=True)))
    transaction.set_autocommit(False)
    Author.objects.create(name="by hand")
    transaction.rollback()
    transaction.set_autocommit(True)
    say(Author.objects.filter(name="by hand").exists())


def errors():
    with connection.cursor() as cur:
        for sql in ("SELEC 1", "SELECT * FROM none", "INSERT INTO people (name) VALUES (NULL)"):
            try:
                cur.execute(sql)
            except (ProgrammingError, OperationalError, IntegrityError) as e:
                failed(e)
        cur.execute("SELECT * FROM types WHERE id = %s", [1])
        say(value(cur.fetchall()))
        cur.callproc("two_results", [2, 1, ""])
        say(value(cur.fetchall()))


def deletes():
    say(Author.objects.filter(name="Ada 😀").delete())
    say(Author.objects.filter(pk__gt=10).delete())
    connection.close()
    say(Author.objects.count())
    with connection.schema_editor() as editor:
        editor.add_field(Book, _added())
        editor.delete_model(Book)
        editor.delete_model(Author)


def _added():
    field = models.IntegerField(default=7)
    field.set_attributes_from_name("pages")
    field.model = Book
    return field


print("# version " + django.__version__)
main([(run.__name__, run) for run in (schema, create, queries, transactions, errors, deletes)])
