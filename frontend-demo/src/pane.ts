/** One pane: an editor, who is here, and how the document is. Shows a session and owns no state of it. */
import { mountEditor, type Editor } from "./editor";
import { tooLarge } from "./insertion";
import { NoticeList } from "./notice_list";
import { cleanName, initials, inkOn, keepPerson, ownPerson, participants, people } from "./presence";
import type { Person } from "./presence";
import { Session, type Address, type Status } from "./session";

const BANNER_AFTER_MS = 3000;
/** Connections flicker; what is read aloud should not. */
const ANNOUNCE_AFTER_MS = 1000;
const MAX_AVATARS = 5;

const STATUS_TEXT: Record<Status, string> = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  offline: "Offline",
  ended: "Access ended",
};

/** A pane of the page; `index` 0 is the left one. */
export class Pane {
  readonly session: Session;
  private readonly root: HTMLElement;
  private readonly label: string;
  private person: Person;
  private editor: Editor | null = null;
  private readonly noticeList: NoticeList;
  private shownStatus: Status | null = null;
  private isBannerDue = false;
  private bannerTimer = 0;
  private announceTimer = 0;

  constructor(
    parent: HTMLElement,
    private readonly index: number,
    address: Omit<Address, "copy">,
  ) {
    this.label = index === 0 ? "Left side" : "Right side";
    this.root = clonePane(this.label);
    parent.append(this.root);
    this.person = ownPerson(index);
    this.session = new Session({ ...address, copy: String(index) });
    this.session.awareness.setLocalStateField("user", this.person);
    this.noticeList = new NoticeList({
      list: this.part(".notices"),
      label: this.label,
      dismiss: (notice) => this.session.notices.dismiss(notice),
      leave: () => this.editor?.focus(),
    });
    this.wireControls();
    this.session.on("change", () => this.render());
    this.session.awareness.on("change", () => this.renderPeople());
    this.render();
    this.renderPeople();
  }

  /** Load what this browser keeps, show it, and connect. */
  async start(): Promise<void> {
    await this.session.start();
    this.editor = mountEditor({
      parent: this.part(".editor"),
      text: this.session.text,
      awareness: this.session.awareness,
      label: `${this.label}: the document`,
      refuse: (bytes) => this.session.notices.add(tooLarge(bytes)),
    });
    if (this.session.status === "ended") this.freeze();
  }

  /** Whether closing the page now would lose edits. */
  get wouldLoseEdits(): boolean {
    return this.session.saved.edits > 0 && !this.session.isKeptHere;
  }

  private part<T extends Element = HTMLElement>(selector: string): T {
    const element = this.root.querySelector<T>(selector);
    if (element === null) throw new Error(`the pane has no ${selector}`);
    return element;
  }

  private wireControls(): void {
    const online = this.part<HTMLInputElement>(".switch input");
    // Browsers restore a checkbox over a reload, and a reload is online again.
    online.checked = true;
    online.addEventListener("change", () => this.session.setOnline(online.checked));
    const name = this.part<HTMLInputElement>(".name");
    name.value = this.person.name;
    name.addEventListener("input", () => this.rename(name.value));
    name.addEventListener("blur", () => (name.value = this.person.name));
  }

  private rename(typed: string): void {
    const name = cleanName(typed);
    if (name === "") return;
    this.person = { ...this.person, name };
    keepPerson(this.index, this.person);
    this.session.awareness.setLocalStateField("user", this.person);
  }

  private render(): void {
    const { status } = this.session;
    if (status !== this.shownStatus) this.renderStatus(status);
    this.renderSaved();
    this.renderBanner();
    this.noticeList.render(this.session.notices.all);
  }

  private renderStatus(status: Status): void {
    const isLive = status === "live";
    const wasLive = this.shownStatus === "live" || this.shownStatus === null;
    this.shownStatus = status;
    this.root.dataset["status"] = status;
    this.part(".pill-text").textContent = STATUS_TEXT[status];
    setIcon(this.part(".pill use"), status);
    this.announce(`${this.label}: ${this.session.end || STATUS_TEXT[status]}`);
    // The time without a connection runs on over the ways of having none.
    if (isLive !== wasLive) this.restartBannerClock(isLive);
    if (status === "ended") this.freeze();
  }

  private freeze(): void {
    const online = this.part<HTMLInputElement>(".switch input");
    online.checked = false;
    online.disabled = true;
    this.editor?.freeze();
  }

  private restartBannerClock(isLive: boolean): void {
    clearTimeout(this.bannerTimer);
    this.isBannerDue = false;
    if (isLive) return;
    this.bannerTimer = window.setTimeout(() => {
      this.isBannerDue = true;
      this.renderBanner();
    }, BANNER_AFTER_MS);
  }

  private renderBanner(): void {
    const { status } = this.session;
    const banner = this.part(".banner");
    banner.hidden = status !== "ended" && !this.isBannerDue;
    banner.textContent = bannerText(this.session);
  }

  private renderSaved(): void {
    const { status, isKeptHere, saved } = this.session;
    const kind = saved.state.kind;
    this.root.dataset["saved"] = kind;
    this.part(".saved-text").textContent = savedText(this.session);
    this.part(".saved").hidden = kind === "unknown" && !isKeptHere && status !== "live";
    this.part(".saved").title = kind === "saved" ? "On the server's disk" : "Not known to be on the server's disk";
    setIcon(this.part(".saved use"), kind);
  }

  private renderPeople(): void {
    const present = people(participants(this.session.awareness));
    this.part(".swatch").style.setProperty("--person", this.person.color);
    const avatars = present.slice(0, MAX_AVATARS).map((person) => avatar(person, person.id === this.person.id));
    const hidden = present.slice(MAX_AVATARS);
    if (hidden.length > 0) avatars.push(moreAvatars(hidden));
    this.part(".people").replaceChildren(...avatars);
  }

  private announce(text: string): void {
    clearTimeout(this.announceTimer);
    this.announceTimer = window.setTimeout(() => {
      this.part(".announcer").textContent = text;
    }, ANNOUNCE_AFTER_MS);
  }
}

function clonePane(label: string): HTMLElement {
  const template = document.querySelector<HTMLTemplateElement>("#pane");
  const pane = template?.content.firstElementChild?.cloneNode(true);
  if (!(pane instanceof HTMLElement)) throw new Error("the page has no template of a pane");
  pane.setAttribute("aria-label", label);
  return pane;
}

function setIcon(use: Element, name: string): void {
  use.setAttribute("href", `#icon-${name}`);
}

function bannerText({ status, end, isKeptHere }: Session): string {
  if (status === "ended") return end;
  if (isKeptHere) return "Offline – edits are kept on this device and will sync";
  return "Offline – edits will sync if this page stays open";
}

function savedText({ status, saved }: Session): string {
  const state = saved.state;
  switch (state.kind) {
    case "unknown":
      return status === "live" ? "Checking…" : "Kept on this device";
    case "saved":
      return "Saved";
    case "saving":
      return "Saving…";
    case "unsaved":
      return `Not saved (${state.edits})`;
  }
}

function avatar(person: Person, isSelf: boolean): HTMLLIElement {
  const item = document.createElement("li");
  item.className = "avatar";
  item.style.setProperty("--person", person.color);
  item.style.setProperty("--ink", inkOn(person.color));
  item.title = isSelf ? `${person.name} (you)` : person.name;
  const letters = document.createElement("span");
  letters.ariaHidden = "true";
  letters.textContent = initials(person.name);
  const name = document.createElement("span");
  name.className = "unseen";
  name.textContent = item.title;
  item.append(letters, name);
  return item;
}

function moreAvatars(hidden: Person[]): HTMLLIElement {
  const item = document.createElement("li");
  item.className = "avatar more";
  item.title = hidden.map(({ name }) => name).join(", ");
  item.textContent = `+${hidden.length}`;
  return item;
}
