// MariaDB's own driver for Node.
import { readFileSync } from "node:fs";
import mariadb from "mariadb";
import { run, say, value } from "./steps.mjs";
import { env } from "./trace.mjs";

const known = { host: env.host, port: env.port, user: env.user, password: env.password, database: env.schema, multipleStatements: true, allowPublicKeyRetrieval: true, timezone: "Z", metaAsArray: false };
const show = (result) => {
  if (Array.isArray(result) && !result.meta) return result.forEach(show);
  if (!Array.isArray(result)) return say("done", value({ ...result }));
  say("columns", value((result.meta ?? []).map((f) => [f.name(), f.orgTable(), f.type, f.columnLength, f.scale, f.flags])));
  result.forEach((row) => say("row", value([...row])));
};
// What happens to a connection between two commands is seen at the next one.
const quiet = (c) => (c.on("error", () => {}), c);
const driver = {
  connect: ({ password, database, tls, attributes, local }) =>
    mariadb.createConnection({ ...known, ...(password && { password }), ...(database && { database }), ...(tls && { ssl: { rejectUnauthorized: false } }), ...(attributes && { connectAttributes: attributes }), permitLocalInfile: Boolean(local) }).then(quiet),
  query: (c, sql, args) => c.query({ sql, rowsAsArray: true }, args),
  execute: (c, sql, args) => c.execute({ sql, rowsAsArray: true }, args),
  show,
  id: (c) => c.threadId,
  batch: async (c, sql, rows) => show(await c.batch(sql, rows)),
  stream: (c, sql, each) => new Promise((done, failed) => c.queryStream({ sql, rowsAsArray: true }).on("data", each).on("end", done).on("error", failed)),
  load: (c, sql) => c.query(sql),
  reset: (c) => c.reset().then(() => "done"),
  // It refuses to on MySQL.
  changeUser: (c, options) => c.changeUser(options).catch((e) => say("error", e.code)),
  pool: () => mariadb.createPool({ ...known, connectionLimit: 5 }),
  poolQuery: (pool, sql, args) => pool.query(sql, args),
  end: (c) => c.end(),
};
await run(driver, mariadb.version ?? JSON.parse(readFileSync(new URL("node_modules/mariadb/package.json", import.meta.url))).version);
