import jakarta.persistence.*;
import java.math.BigDecimal;
import java.sql.SQLException;
import java.time.LocalDateTime;
import java.util.*;
import java.util.concurrent.*;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.hibernate.*;
import org.hibernate.cfg.Configuration;

/** Hibernate on Connector/J with its pool (HikariCP): schema from entities, batches, locks, versions, procedures, a second session. */
public final class Hibernate {
    @Entity(name = "Author")
    @Table(name = "hi_authors")
    public static class Author {
        @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Long id;
        @Column(length = 60, unique = true, nullable = false) String name;
        LocalDateTime born;
        @Column(precision = 20, scale = 5) BigDecimal score;
        @Lob byte[] raw;
        boolean living;
        @jakarta.persistence.Version int version;
        @OneToMany(mappedBy = "author", cascade = CascadeType.ALL, orphanRemoval = true) @OrderBy("id") List<Book> books = new ArrayList<>();

        Author() {}

        Author(String name, double score) {
            this.name = name;
            this.score = BigDecimal.valueOf(score);
        }
    }

    @Entity(name = "Book")
    @Table(name = "hi_books", indexes = @Index(name = "hi_title", columnList = "title"))
    public static class Book {
        @Id @GeneratedValue(strategy = GenerationType.TABLE, generator = "hi_ids") @TableGenerator(name = "hi_ids", allocationSize = 10) Long id;
        @Column(length = 100) String title;
        @ManyToOne(fetch = FetchType.LAZY) Author author;

        Book() {}

        Book(String title, Author author) {
            this.title = title;
            this.author = author;
        }
    }

    static SessionFactory factory;

    static SessionFactory open(String schema) {
        Configuration config = new Configuration().addAnnotatedClass(Author.class).addAnnotatedClass(Book.class);
        Map<String, String> known = Map.ofEntries(
            Map.entry("hibernate.connection.url", "jdbc:mysql://" + Trace.env("HOST") + ":" + Trace.env("PORT") + "/" + Trace.env("SCHEMA") + "?allowPublicKeyRetrieval=true&rewriteBatchedStatements=true"),
            Map.entry("hibernate.connection.username", Trace.env("USER")),
            Map.entry("hibernate.connection.password", Trace.env("PASSWORD")),
            Map.entry("hibernate.connection.provider_class", "hikari"),
            Map.entry("hibernate.hikari.maximumPoolSize", "4"),
            Map.entry("hibernate.jdbc.batch_size", "20"),
            Map.entry("hibernate.order_inserts", "true"),
            Map.entry("hibernate.hbm2ddl.auto", schema));
        known.forEach(config::setProperty);
        return config.buildSessionFactory();
    }

    static void failed(Throwable e) throws Exception {
        for (Throwable at = e; at != null; at = at.getCause())
            if (at instanceof SQLException sql) {
                Trace.say(e.getClass().getSimpleName());
                Trace.error(sql);
                return;
            }
        Trace.say("error", e.getClass().getSimpleName());
    }

    interface Work {
        void run(Session on) throws Exception;
    }

    /** In a transaction of its own; what it throws is told. */
    static void within(Work work) throws Exception {
        try (Session on = factory.openSession()) {
            Transaction tx = on.beginTransaction();
            try {
                work.run(on);
                tx.commit();
            } catch (Exception e) {
                failed(e);
                if (tx.isActive()) tx.rollback();
            }
        }
    }

    static void rows(Session on, String sql) throws Exception {
        for (Object[] row : on.createNativeQuery(sql, Object[].class).list()) {
            StringBuilder line = new StringBuilder("row");
            for (Object cell : row) line.append(" ").append(Trace.value(cell));
            Trace.say(line);
        }
    }

    public static void main(String[] args) throws Exception {
        Logger.getLogger("").setLevel(Level.OFF);
        Trace.say("# version", org.hibernate.Version.getVersionString());
        Trace.step("schema", () -> {
            for (String how : new String[] {"create", "update", "validate"}) {
                if (factory != null) factory.close();
                factory = open(how);
                Trace.say(how);
            }
            within(on -> rows(on, "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, COLUMN_KEY FROM information_schema.columns WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'hi%' ORDER BY 1, 2"));
        });
        Trace.step("create", () -> {
            within(on -> {
                Author ada = new Author("Ada 😀", 1.5);
                ada.born = LocalDateTime.of(1815, 12, 10, 1, 2, 3, 456789000);
                ada.raw = new byte[] {0, -1};
                ada.books.add(new Book("Notes", ada));
                ada.books.add(new Book("More", ada));
                on.persist(ada);
                Trace.say(ada.id, ada.books.get(0).id);
                for (int n = 0; n < 50; n++) on.persist(new Author("a" + n, n));
            });
            within(on -> {
                for (int n = 0; n < 45; n++) on.persist(new Book("batch " + n, null));
            });
            within(on -> rows(on, "SELECT COUNT(*), MAX(id), SUM(id) FROM hi_books"));
            within(on -> on.persist(new Author("a1", 0)));
            within(on -> on.persist(new Author(null, 0)));
        });
        Trace.step("queries", () -> within(on -> {
            Author ada = on.createQuery("from Author a join fetch a.books where a.name = :name", Author.class).setParameter("name", "Ada 😀").getSingleResult();
            Trace.say(ada.id, ada.born, ada.score, Trace.value(ada.raw), ada.books.size(), ada.books.get(1).title);
            for (Author one : on.createQuery("from Author where score > :least order by id", Author.class).setParameter("least", BigDecimal.valueOf(45)).setFirstResult(1).setMaxResults(3).list()) Trace.say(one.id, one.name, one.score);
            Trace.say(on.createQuery("select count(a), sum(a.score), max(a.name) from Author a where a.living = false", Object[].class).getSingleResult()[1]);
            Trace.say(on.find(Author.class, 99999L));
            rows(on, "SELECT id, bu, de, dt, vc, vb FROM types WHERE id <> 2 ORDER BY id");
        }));
        Trace.step("updates", () -> {
            within(on -> Trace.say(on.createMutationQuery("update Author set score = score + 1 where score < 3").executeUpdate(), on.createMutationQuery("delete from Author where name in ('a7', 'a8')").executeUpdate()));
            within(on -> {
                Author one = on.createQuery("from Author where name = 'a5'", Author.class).getSingleResult();
                one.living = true;
                on.flush();
                Trace.say(one.version);
            });
            within(on -> on.createQuery("from Author where name like 'Ada%'", Author.class).getSingleResult().books.remove(0));
            within(on -> rows(on, "SELECT COUNT(*), SUM(living) FROM hi_authors"));
            within(on -> rows(on, "SELECT id, title FROM hi_books WHERE author_id IS NOT NULL"));
        });
        Trace.step("versions", () -> {
            try (Session first = factory.openSession(); Session second = factory.openSession()) {
                Transaction one = first.beginTransaction(), two = second.beginTransaction();
                Author here = first.createQuery("from Author where name = 'a9'", Author.class).getSingleResult();
                Author there = second.createQuery("from Author where name = 'a9'", Author.class).getSingleResult();
                here.living = true;
                one.commit();
                there.living = true;
                there.score = BigDecimal.TEN;
                try {
                    two.commit();
                    Trace.say("! an old version was written");
                } catch (OptimisticLockException e) {
                    Trace.say(e.getClass().getSimpleName());
                }
            }
        });
        Trace.step("locks", () -> within(on -> {
            Author one = on.createQuery("from Author where name = 'a11'", Author.class).setLockMode(LockModeType.PESSIMISTIC_WRITE).getSingleResult();
            within(other -> {
                try {
                    other.find(Author.class, one.id, LockModeType.PESSIMISTIC_WRITE, Timeout.milliseconds(0));
                    Trace.say("! it was not locked");
                } catch (PersistenceException e) {
                    failed(e);
                }
            });
            within(other -> Trace.say(other.createNativeQuery("SELECT COUNT(*) FROM hi_authors WHERE id = :id FOR UPDATE SKIP LOCKED", Long.class).setParameter("id", one.id).getSingleResult()));
        }));
        Trace.step("transactions", () -> {
            within(on -> {
                on.persist(new Author("gone", 1));
                on.flush();
                throw new IllegalStateException("back");
            });
            within(on -> on.createNativeMutationQuery("INSERT INTO no_such_table VALUES (1)").executeUpdate());
            try (StatelessSession on = factory.openStatelessSession()) {
                Transaction tx = on.beginTransaction();
                Author one = new Author("stateless", 7);
                on.insert(one);
                tx.commit();
                Trace.say(one.id);
            }
            try (Session on = factory.withOptions().openSession()) {
                on.doWork(c -> c.setReadOnly(true));
                Transaction tx = on.beginTransaction();
                Trace.say(on.createQuery("select count(*) from Author", Long.class).getSingleResult());
                try {
                    on.createNativeMutationQuery("DELETE FROM hi_books").executeUpdate();
                    Trace.say("! it was written");
                } catch (PersistenceException e) {
                    failed(e);
                }
                tx.rollback();
                on.doWork(c -> c.setReadOnly(false));
            }
            within(on -> rows(on, "SELECT COUNT(*), SUM(name = 'gone') FROM hi_authors"));
        });
        Trace.step("procedures", () -> within(on -> {
            StoredProcedureQuery call = on.createStoredProcedureQuery("two_results");
            call.registerStoredProcedureParameter(1, Integer.class, ParameterMode.IN).registerStoredProcedureParameter(2, Integer.class, ParameterMode.INOUT).registerStoredProcedureParameter(3, String.class, ParameterMode.OUT);
            call.setParameter(1, 3).setParameter(2, 10);
            boolean more = call.execute();
            while (more) {
                Trace.say(call.getResultList().size());
                more = call.hasMoreResults();
            }
            Trace.say(call.getOutputParameterValue(2), call.getOutputParameterValue(3));
        }));
        Trace.step("streaming", () -> within(on -> {
            try (var all = on.createNativeQuery("SELECT n FROM numbers WHERE n <= 1000 ORDER BY n", Integer.class).setFetchSize(Integer.MIN_VALUE).getResultStream()) {
                Trace.say(all.mapToInt(n -> n).sum());
            }
        }));
        Trace.step("pool", () -> {
            ExecutorService workers = Executors.newFixedThreadPool(8);
            List<Future<Boolean>> all = new ArrayList<>();
            for (int n = 0; n < 80; n++) {
                String name = "p" + n;
                all.add(workers.submit(() -> {
                    factory.inTransaction(on -> on.persist(new Author(name, 1)));
                    return factory.fromTransaction(on -> on.createQuery("select count(*) from Author where name = :name", Long.class).setParameter("name", name).getSingleResult()) == 1;
                }));
            }
            for (Future<Boolean> one : all) if (!one.get()) Trace.say("! a row is not there");
            workers.shutdown();
            within(on -> rows(on, "SELECT COUNT(*), COUNT(DISTINCT id) FROM hi_authors WHERE name LIKE 'p%'"));
        });
        Trace.step("closes", () -> {
            factory.close();
            factory = open("create-drop");
            factory.close();
            Trace.say(factory.isClosed());
        });
        Trace.say("== end");
    }
}
