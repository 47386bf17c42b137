import { expect, test } from "vitest";
import { scalars, tokenize } from "./yaml-tokens";

/** The parts that have a colour, as `kind:text`. */
function parts(text: string): string[][] {
  const lines = text.split("\n");
  const within = scalars(lines);
  return lines.map((line, at) =>
    tokenize(line, within[at] ?? false).map(({ from, to, kind }) => `${kind}:${line.slice(from, to)}`),
  );
}

test.each([
  ["name: db # ours", ["key:name", "mark::", "comment:# ours"]],
  ["url: http://a.b:80/#c", ["key:url", "mark::"]],
  ["- cpu: 2", ["mark:-", "key:cpu", "mark::", "atom:2"]],
  ["a: -1.5e3", ["key:a", "mark::", "atom:-1.5e3"]],
  ["on: true", ["key:on", "mark::", "atom:true"]],
  ['"a b": "c \\" # d"', ['key:"a b"', "mark::", 'string:"c \\" # d"']],
  ["it's: don't", ["key:it's", "mark::"]],
  [
    "{a: 1, b: [x]}",
    ["mark:{", "key:a", "mark::", "atom:1", "mark:,", "key:b", "mark::", "mark:[", "mark:]", "mark:}"],
  ],
  ["---", ["mark:---"]],
  ["flyte.secrets/s0: nnsxs", ["key:flyte.secrets/s0", "mark::"]],
])("%s", (line, expected) => {
  expect(parts(line)).toEqual([expected]);
});

test("a block scalar is a string until the indentation ends", () => {
  expect(parts("a: |-\n  # b: c\n\n  d\ne: 1")).toEqual([
    ["key:a", "mark::"],
    ["string:# b: c"],
    [],
    ["string:d"],
    ["key:e", "mark::", "atom:1"],
  ]);
});

test("a long line takes no longer than its length asks for", () => {
  const start = performance.now();
  for (const line of ["a ".repeat(50_000), ": ".repeat(50_000), " ".repeat(100_000), `"${"\\".repeat(100_000)}`])
    parts(`${line}\na`);
  expect(performance.now() - start).toBeLessThan(5_000);
});
