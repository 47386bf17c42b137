/**
 * The sheet with a link to the page's contents. Secrets are included only on request.
 */
import { copy } from "./copy";
import { byId } from "./dom";
import { encode, type State } from "./link";

export function share(save: () => State): void {
  const withSecrets = byId<HTMLInputElement>("share-secrets");
  const field = byId<HTMLInputElement>("share-link");
  const status = byId("share-status");

  const make = async () => {
    const { secrets = "", ...state } = save();
    const shared = withSecrets.checked ? { ...state, secrets } : state;
    field.value = new URL(await encode(shared), location.href).href;
    status.textContent = withSecrets.checked
      ? "The link contains secret values."
      : "The link does not contain the secrets in the store.";
  };
  byId("share").addEventListener("beforetoggle", (event) => {
    if (event.newState === "open") {
      withSecrets.checked = false;
      make();
    }
  });
  withSecrets.addEventListener("input", make);
  byId("share-copy").addEventListener("click", async () => {
    await make();
    const done = await copy(field.value);
    if (!done) field.select();
    status.textContent = done
      ? "Copied."
      : "The browser does not allow this page to copy. The link is selected; copy it yourself.";
  });
}
