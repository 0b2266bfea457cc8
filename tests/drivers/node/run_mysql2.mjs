// mysql2: the usual driver of Node's, by its promises.
import { createReadStream } from "node:fs";
import { createRequire } from "node:module";
import mysql from "mysql2/promise";
import { run, say, value } from "./steps.mjs";
import { env } from "./trace.mjs";

const known = { host: env.host, port: env.port, user: env.user, password: env.password, database: env.schema, multipleStatements: true, supportBigNumbers: true, timezone: "Z" };
const show = (result, fields) => {
  const many = Array.isArray(fields) && fields.some((one) => Array.isArray(one) || one === undefined);
  if (many) return result.forEach((one, at) => show(one, fields[at]));
  if (!Array.isArray(result)) return say("done", value({ ...result }));
  say("columns", value((fields ?? []).map((f) => [f.name, f.orgTable, f.columnType, f.flags, f.columnLength, f.characterSet, f.decimals])));
  result.forEach((row) => say("row", value(row)));
};
// What happens to a connection between two commands is seen at the next one.
const quiet = (c) => (c.on("error", () => {}), c);
const driver = {
  connect: ({ password, database, tls, attributes, local }) =>
    mysql.createConnection({ ...known, ...(password && { password }), ...(database && { database }), ...(tls && { ssl: { rejectUnauthorized: false } }), ...(attributes && { connectAttributes: attributes }), ...(!local && { flags: ["-LOCAL_FILES"] }) }).then(quiet),
  query: (c, sql, args) => c.query({ sql, values: args, rowsAsArray: true }),
  execute: (c, sql, args) => c.execute({ sql, values: args, rowsAsArray: true }),
  show: ([result, fields]) => show(result, fields),
  id: (c) => c.threadId,
  batch: async (c, sql, rows) => show(...(await c.query("INSERT INTO work (k, v) VALUES ?", [rows]))),
  stream: (c, sql, each) => new Promise((done, failed) => c.connection.query({ sql, rowsAsArray: true }).stream().on("data", each).on("end", done).on("error", failed)),
  load: (c, sql) => c.query({ sql, infileStreamFactory: (path) => createReadStream(path) }),
  reset: async (c) => (c.connection.reset ? new Promise((done, failed) => c.connection.reset((e) => (e ? failed(e) : done("done")))) : "not by this driver"),
  changeUser: (c, options) => c.changeUser(options),
  pool: () => mysql.createPool({ ...known, connectionLimit: 5 }),
  poolQuery: (pool, sql, args) => pool.query(sql, args),
  end: (c) => c.end(),
};
await run(driver, createRequire(import.meta.url)("mysql2/package.json").version);
