/**
 * The page's entry point: loads the policy's code, and fills the tabs from the address or with an example.
 */
import init from "flyte-secrets";
import { byId, h, words } from "./dom";
import { example, examplesMenu, FIRST } from "./examples";
import { decode, isLink, type State } from "./link";
import { namesTab } from "./names-tab";
import { podTab } from "./pod-tab";
import { requestsTab } from "./requests-tab";
import { share } from "./share";
import { tabs } from "./tabs";
import { theme } from "./theme";

const notice = byId("notice");

function tell(text: string): void {
  notice.querySelector("p")?.replaceChildren(text);
  notice.hidden = false;
}

async function open(folder: string): Promise<State | undefined> {
  try {
    return await example(folder);
  } catch (error) {
    tell(words(error));
    return undefined;
  }
}

async function linked(): Promise<State | undefined> {
  if (!isLink(location.hash)) return undefined;
  try {
    return await decode(location.hash);
  } catch {
    tell("Invalid link: it is damaged or incomplete. An example is shown instead.");
    return undefined;
  }
}

async function start(): Promise<void> {
  const views = tabs();
  const [state] = await Promise.all([linked().then((state) => state ?? open(FIRST)), init()]);
  const pods = podTab();
  const all = [pods, namesTab(), requestsTab()];
  const load = (state: State) => {
    for (const tab of all) tab.load(state);
    views.show(state.tab ?? "pod");
  };
  byId("main").hidden = false;
  byId("starting").remove();
  load(state ?? {});

  examplesMenu(async (folder) => {
    const texts = await open(folder);
    if (!texts) return;
    pods.load({ ...pods.save(), ...texts, namespace: "" });
    views.show("pod");
  });
  share(() => Object.assign({ tab: views.current() }, ...all.map((tab) => tab.save())));
  addEventListener("hashchange", async () => {
    const state = await linked();
    if (state) load(state);
  });
}

theme();
notice.querySelector("button")?.addEventListener("click", () => {
  notice.hidden = true;
});
start().catch((error) => {
  byId("starting").replaceChildren(h("span", { class: "error" }, `Failed to load the page: ${words(error)}`));
});
