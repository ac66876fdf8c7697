/** The notices of a pane on the screen. Their list is a live region: what is added is read aloud, once. */
import type { Notice } from "./notices";

/** What a list of notices is made of. */
export interface NoticeListOptions {
  list: Element;
  /** Who speaks: it is read aloud with each notice, and seen nowhere. */
  label: string;
  /** Told which notice the person has read. */
  dismiss(notice: Notice): void;
  /** Called when a dismissed notice had the keyboard, which needs another place then. */
  leave(): void;
}

/** Shows notices, each as one item. */
export class NoticeList {
  private readonly items = new Map<Notice, HTMLElement>();

  constructor(private readonly options: NoticeListOptions) {}

  /** Show these; one that is shown already stays as it is. */
  render(notices: readonly Notice[]): void {
    for (const [notice, item] of this.items) {
      if (notices.includes(notice)) continue;
      item.remove();
      this.items.delete(notice);
    }
    for (const notice of notices) {
      if (this.items.has(notice)) continue;
      const item = this.item(notice);
      this.items.set(notice, item);
      this.options.list.append(item);
    }
  }

  private item(notice: Notice): HTMLElement {
    const item = cloneNotice();
    part(item, ".unseen").textContent = `${this.options.label}: `;
    part(item, ".notice-text").textContent = notice.text;
    const button = part(item, "button");
    button.addEventListener("click", () => {
      // A finger on the button wants no keyboard on the screen.
      const hadKeyboard = button.matches(":focus-visible");
      this.options.dismiss(notice);
      if (hadKeyboard) this.options.leave();
    });
    return item;
  }
}

function cloneNotice(): HTMLElement {
  const template = document.querySelector<HTMLTemplateElement>("#notice");
  const notice = template?.content.firstElementChild?.cloneNode(true);
  if (!(notice instanceof HTMLElement)) throw new Error("the page has no template of a notice");
  return notice;
}

function part(item: HTMLElement, selector: string): HTMLElement {
  const element = item.querySelector<HTMLElement>(selector);
  if (element === null) throw new Error(`the notice has no ${selector}`);
  return element;
}
