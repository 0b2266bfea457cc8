// Sequelize: an ORM on mysql2, with its pool, managed transactions and introspection.
import { readFileSync } from "node:fs";
import { DataTypes, Op, QueryTypes, Sequelize, Transaction } from "sequelize";
import { env, main, say, value } from "./trace.mjs";

const db = new Sequelize(env.schema, env.user, env.password, { host: env.host, port: env.port, dialect: "mysql", logging: false, pool: { max: 2 }, dialectOptions: { supportBigNumbers: true } });
const Author = db.define("Author", { name: { type: DataTypes.STRING(60), unique: "name" }, born: DataTypes.DATE(6), score: DataTypes.DECIMAL(20, 5), extra: DataTypes.JSON, raw: DataTypes.BLOB, big: DataTypes.BIGINT.UNSIGNED, kind: DataTypes.ENUM("a", "b") }, { tableName: "sq_authors", timestamps: false });
const Book = db.define("Book", { title: DataTypes.STRING(100) }, { tableName: "sq_books", timestamps: false, indexes: [{ fields: ["title"] }] });
Author.hasMany(Book);
Book.belongsTo(Author);
const failed = (e) => say("error", e.name, e.original?.errno ?? "-", value(e.original?.sqlMessage ?? e.message));

await main(JSON.parse(readFileSync(new URL("node_modules/sequelize/package.json", import.meta.url))).version, {
  async schema() {
    await db.authenticate();
    await db.sync({ force: true });
    await db.sync({ alter: true });
    say(value(await db.getQueryInterface().describeTable("sq_authors")));
    say(value((await db.getQueryInterface().showIndex("sq_books")).map((one) => [one.name, one.unique])));
  },
  async create() {
    const ada = await Author.create({ name: "Ada 😀", born: new Date(Date.UTC(1815, 11, 10, 1, 2, 3, 456)), score: "1.5", extra: { a: [1, null, "ü"] }, raw: Buffer.from([0, 255]), big: "18446744073709551615", kind: "b", Books: [{ title: "Notes" }] }, { include: [Book] });
    // More than one at once would be inserted side by side, in either order.
    await ada.createBook({ title: "More" });
    await ada.reload({ include: [{ model: Book, separate: true, order: ["id"] }] });
    say(value(ada.get({ plain: true })));
    say((await Author.bulkCreate(Array.from({ length: 50 }, (_, n) => ({ name: "a" + n, big: n })))).length);
    say(value(await Author.upsert({ name: "a1", big: 99 })));
    await Author.create({ name: "a1" }).catch(failed);
    say(value(await Author.findOrCreate({ where: { name: "found" } }).then(([one, isNew]) => [one.name, isNew])));
  },
  async queries() {
    say(value((await Author.findAll({ where: { big: { [Op.gt]: 45 } }, order: ["id"], raw: true })).map((one) => [one.id, one.name, one.big])));
    say(value((await Author.findAndCountAll({ include: [Book], where: { name: { [Op.like]: "A%" } }, order: ["id"], limit: 3, distinct: true })).count));
    say(value(await Author.update({ score: db.literal("score + 1") }, { where: { name: "Ada 😀" } })), value(await Author.destroy({ where: { big: { [Op.lt]: 5 } } })));
    say(value(await db.query("SELECT ? AS a, :b AS b".replace(":b", "?"), { replacements: [1, "x"], type: QueryTypes.SELECT })));
    say(value(await db.query("SELECT id, bu, de, dt, js FROM types WHERE id = $1", { bind: [2], type: QueryTypes.SELECT })));
    await db.query("SELECT * FROM none").catch(failed);
  },
  async transactions() {
    await db.transaction(async (transaction) => {
      await Author.create({ name: "gone" }, { transaction });
      throw new Error("back");
    }).catch((e) => say(e.message));
    for (const isolationLevel of [Transaction.ISOLATION_LEVELS.READ_COMMITTED, Transaction.ISOLATION_LEVELS.SERIALIZABLE])
      await db.transaction({ isolationLevel }, async (transaction) => {
        await Author.create({ name: "kept " + isolationLevel }, { transaction });
        say((await Author.findAll({ where: { name: { [Op.like]: "kept%" } }, lock: transaction.LOCK.UPDATE, transaction })).length);
      });
    const outer = await db.transaction();
    const inner = await db.transaction({ transaction: outer });
    await Author.create({ name: "inner" }, { transaction: inner });
    await inner.rollback();
    await outer.commit();
    say(value((await Author.findAll({ where: { name: ["gone", "inner"] } })).length), await Author.count());
  },
  async pool() {
    const all = await Promise.all(Array.from({ length: 20 }, (_, n) => Author.create({ name: "p" + n }).then((one) => Author.findByPk(one.id)).then((one) => one?.name)));
    say(value(all));
    await db.drop();
    await db.close();
  },
});
