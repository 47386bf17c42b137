/**
 * `npm run screenshots`: screenshots of the built page for the book.
 */
import base from "./playwright.config";

export default { ...base, testMatch: "screenshots.ts" };
