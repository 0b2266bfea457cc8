// TypeORM: an ORM on mysql2, with entities by schema, relations, its query builder, migrations, introspection and a pool.
import { readFileSync } from "node:fs";
import typeorm from "typeorm";
import { env, main, say, value } from "./trace.mjs";

const { DataSource, EntitySchema, In, Like, MoreThan, QueryFailedError } = typeorm;
const Author = new EntitySchema({
  name: "Author",
  tableName: "to_authors",
  columns: {
    id: { type: "int", unsigned: true, primary: true, generated: "increment" },
    name: { type: "varchar", length: 60, unique: true },
    born: { type: "datetime", precision: 6, nullable: true },
    score: { type: "decimal", precision: 20, scale: 5, default: 0 },
    extra: { type: "json", nullable: true },
    raw: { type: "blob", nullable: true },
    big: { type: "bigint", unsigned: true, nullable: true },
    kind: { type: "enum", enum: ["a", "b"], default: "a" },
    version: { type: "int", version: true },
  },
  relations: { books: { type: "one-to-many", target: "Book", inverseSide: "author", cascade: true } },
});
const Book = new EntitySchema({
  name: "Book",
  tableName: "to_books",
  columns: { id: { type: "int", primary: true, generated: "increment" }, title: { type: "varchar", length: 100 } },
  relations: {
    author: { type: "many-to-one", target: "Author", inverseSide: "books", onDelete: "CASCADE" },
    tags: { type: "many-to-many", target: "Tag", joinTable: { name: "to_book_tags" }, cascade: true },
  },
  indices: [{ columns: ["title"] }],
});
const Tag = new EntitySchema({ name: "Tag", tableName: "to_tags", columns: { id: { type: "int", primary: true, generated: "increment" }, name: { type: "varchar", length: 30, unique: true } } });

class AddNote1700000000000 {
  name = "AddNote1700000000000";
  async up(runner) {
    await runner.query("ALTER TABLE to_tags ADD COLUMN note VARCHAR(20) NOT NULL DEFAULT 'new'");
    await runner.createTable(new typeorm.Table({ name: "to_extra", columns: [{ name: "id", type: "int", isPrimary: true }, { name: "n", type: "int", isNullable: true }] }));
  }
  async down(runner) {
    await runner.dropTable("to_extra");
    await runner.dropColumn("to_tags", "note");
  }
}

const db = new DataSource({ type: "mysql", host: env.host, port: env.port, username: env.user, password: env.password, database: env.schema, entities: [Author, Book, Tag], migrations: [AddNote1700000000000], timezone: "Z", supportBigNumbers: true, bigNumberStrings: true, extra: { connectionLimit: 3 } });
const failed = (e) => (e instanceof QueryFailedError ? say("error", e.driverError.errno, e.driverError.sqlState, value(e.driverError.sqlMessage)) : say("error", e.name, value(e.message)));
await db.initialize();
const [authors, books, tags] = [Author, Book, Tag].map((one) => db.getRepository(one));

await main(JSON.parse(readFileSync(new URL("node_modules/typeorm/package.json", import.meta.url))).version, {
  async schema() {
    await db.synchronize();
    say("asked for again", (await db.driver.createSchemaBuilder().log()).upQueries.length);
    const runner = db.createQueryRunner();
    for (const name of ["to_authors", "to_books", "to_book_tags"]) {
      const table = await runner.getTable(name);
      // It asks for them in no order.
      const sorted = (all) => all.map(value).sort().join(" ");
      say(sorted(table.columns.map((one) => [one.name, one.type, one.length, one.isNullable, one.default])), sorted(table.indices.map((one) => [one.columnNames, one.isUnique])), sorted(table.foreignKeys.map((one) => [one.columnNames, one.onDelete])));
    }
    say(await runner.hasTable("none"), await runner.getCurrentDatabase() === env.schema);
    await runner.release();
  },
  async create() {
    const ada = await authors.save({ name: "Ada 😀", born: new Date(Date.UTC(1815, 11, 10, 1, 2, 3, 456)), score: "1.5", extra: { a: [1, null, "ü"] }, raw: Buffer.from([0, 255]), big: "18446744073709551615", kind: "b", books: [{ title: "Notes", tags: [{ name: "old" }] }] });
    say(value(ada.id), value(ada.books[0].id), value(ada.books[0].tags[0].id));
    say(value(await authors.findOne({ where: { id: ada.id }, relations: { books: { tags: true } } })));
    say(value((await authors.insert(Array.from({ length: 50 }, (_, n) => ({ name: "a" + n, big: String(n) })))).identifiers.length));
    await authors.insert({ name: "a1" }).catch(failed);
    await authors.upsert({ name: "a1", big: "99" }, ["name"]);
    say(value((await authors.createQueryBuilder().insert().values({ name: "a2" }).orIgnore().updateEntity(false).execute()).raw));
  },
  async queries() {
    say(value(await authors.find({ where: { big: MoreThan("45") }, order: { id: "ASC" } })));
    say(value((await authors.findAndCount({ where: { name: Like("a%") }, order: { id: "ASC" }, take: 3, skip: 2 })).flat().map((one) => one.name ?? one)));
    say(value(await authors.createQueryBuilder("a").leftJoin("a.books", "b").select("a.kind", "kind").addSelect("COUNT(b.id)", "n").groupBy("a.kind").orderBy("a.kind").getRawMany()));
    say(value(await authors.sum("score")), value(await authors.maximum("big")), await authors.countBy({ kind: "a" }), await authors.existsBy({ name: "none" }));
    say(value(await authors.increment({ name: In(["a3", "a4"]) }, "score", 2)), value(await authors.delete({ name: Like("a1%") })));
    say(value(await db.query("SELECT id, bu, de, dt, js FROM types WHERE id = ?", [2])));
    await db.query("SELECT * FROM none").catch(failed);
  },
  async streaming() {
    const stream = await authors.createQueryBuilder("a").orderBy("a.id").stream();
    let count = 0;
    for await (const row of stream) count += row.a_name.length;
    say(count);
  },
  async transactions() {
    await db.transaction(async (on) => {
      await on.save(Tag, { name: "gone" });
      throw new Error("back");
    }).catch((e) => say(e.message));
    for (const level of ["READ COMMITTED", "SERIALIZABLE"])
      await db.transaction(level, async (on) => {
        await on.save(Tag, { name: "kept " + level });
        say((await on.find(Tag, { where: { name: Like("kept%") }, lock: { mode: "pessimistic_write" } })).length);
      });
    const runner = db.createQueryRunner();
    await runner.startTransaction();
    await runner.manager.save(Tag, { name: "outer" });
    await runner.startTransaction();
    await runner.manager.save(Tag, { name: "inner" });
    await runner.rollbackTransaction();
    await runner.commitTransaction();
    await runner.release();
    say(value((await tags.find({ order: { id: "ASC" } })).map((one) => one.name)));
    const one = await authors.findOneByOrFail({ name: "a3" });
    await authors.save({ ...one, kind: "b" });
    say((await authors.findOneByOrFail({ name: "a3" })).version);
  },
  async migrations() {
    say(value((await db.runMigrations()).map((one) => one.name)), await db.showMigrations());
    say(value(await db.query("SELECT name, note FROM to_tags ORDER BY id")));
    await db.undoLastMigration();
    say(value(await db.query("SELECT name FROM migrations")), await db.showMigrations());
  },
  async pool() {
    const all = await Promise.all(Array.from({ length: 20 }, (_, n) => books.save({ title: "p" + n }).then((one) => books.findOneBy({ id: one.id })).then((one) => one?.title)));
    say(value(all));
    await db.dropDatabase();
    say(value(await db.query("SHOW TABLES")).slice(0, 60));
    await db.destroy();
    say(db.isInitialized);
  },
});
