/**
 * Tests without a browser: of the package, and of modules of the page without DOM.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["package/**/*.test.ts", "page/src/**/*.test.ts"] },
});
