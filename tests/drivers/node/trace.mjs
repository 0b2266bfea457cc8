// What scripts print: a step's name, then lines in which a value stands with its type, so that equal lines are equal values.
import { createHash } from "node:crypto";

export const env = { host: process.env.WEIR_HOST, port: Number(process.env.WEIR_PORT), user: process.env.WEIR_USER, password: process.env.WEIR_PASSWORD, schema: process.env.WEIR_SCHEMA, scratch: process.env.WEIR_SCRATCH };

const cut = (text) => (text.length <= 100 ? text : text.length + " " + createHash("sha1").update(text).digest("hex"));

export function value(v) {
  if (v === null || v === undefined) return String(v);
  if (Buffer.isBuffer(v)) return "buffer:" + cut(v.toString("hex"));
  if (v instanceof Date) return "date:" + (isNaN(v) ? "invalid" : v.toISOString());
  if (Array.isArray(v)) return "[" + v.map(value).join(", ") + "]";
  if (typeof v === "object") return "{" + Object.entries(v).map(([k, one]) => k + ": " + value(one)).join(", ") + "}";
  return typeof v + ":" + cut(String(v));
}

export const say = (...words) => console.log(words.join(" "));

export function error(e) {
  say("error", e.code ?? e.name, e.errno ?? "-", e.sqlState ?? "-", value(e.sqlMessage ?? e.message));
}

// A step that fails in a way that it did not foresee says so, and the next goes on.
export async function main(version, steps) {
  console.log("# version " + version);
  for (const [name, run] of Object.entries(steps)) {
    say("==", name);
    try {
      await run();
    } catch (e) {
      say("!", String(e).replaceAll("\n", " "));
      console.error(e);
    }
  }
  console.log("== end");
}
