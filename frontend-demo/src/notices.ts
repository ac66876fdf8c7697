/** What a person is told until they have read it. Knows no DOM. */

/** One thing to tell. */
export interface Notice {
  /** What the person reads; two notices of one text are the same. */
  text: string;
  /** The close code that stands for the same, if there is one. */
  code: number | null;
  /** Whether it holds as long as the connection does; else it happened once, and may happen again. */
  holds: boolean;
}

/** More at once nobody reads: the oldest gives way. */
const MAX_NOTICES = 3;

/** The notices of one copy of a document; calls `changed` when others are to be shown than before. */
export class Notices {
  private shown: readonly Notice[] = [];
  /** What was read and still holds: a server may repeat it with every key that is typed. */
  private readonly dismissed = new Set<string>();

  constructor(private readonly changed: () => void) {}

  /** The notices to show, the oldest first. */
  get all(): readonly Notice[] {
    return this.shown;
  }

  /** Show a notice, unless it is shown already or was dismissed and still holds. */
  add(notice: Notice): void {
    const isKnown = this.dismissed.has(notice.text) || this.shown.some(({ text }) => text === notice.text);
    if (!isKnown) this.show([...this.shown, notice].slice(-MAX_NOTICES));
  }

  /** Take a notice away: it was read. */
  dismiss(notice: Notice): void {
    if (notice.holds) this.dismissed.add(notice.text);
    this.show(this.shown.filter((other) => other !== notice));
  }

  /** Begin anew with a new connection: what still holds will be said again. */
  connected(): void {
    this.dismissed.clear();
    this.show(this.shown.filter(({ holds }) => !holds));
  }

  /** Leave out what is said anyway now that the access ended with `code`. */
  ended(code: number): void {
    this.show(this.shown.filter((notice) => notice.code !== code));
  }

  private show(notices: readonly Notice[]): void {
    const isSame = notices.length === this.shown.length && notices.every((one, at) => one === this.shown[at]);
    if (isSame) return;
    this.shown = notices;
    this.changed();
  }
}
