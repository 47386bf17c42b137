/**
 * The tests that need no browser: the package's, and those of the page's pure modules.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["package/**/*.test.ts", "page/src/**/*.test.ts"] },
});
