/**
 * Whether this page's edits are on the server's disk. Knows no DOM.
 *
 * The client sends message 102 with a version number; the server sends the identical frame back
 * only when everything that came before it on that connection is durable.
 */
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import { ObservableV2 } from "lib0/observable";
import type { WebsocketProvider } from "y-websocket";
import type * as Y from "yjs";

const MESSAGE_SYNC = 0;
const MESSAGE_SAVED = 102;

const TICK_MS = 100;
/** Answers normally come sooner than this: no flicker while typing. */
const SAVING_AFTER_MS = 300;
/** A server that has not answered by then is not saving, whatever else it does. */
const OVERDUE_AFTER_MS = 10_000;

/** "unknown" is what a page starts with: its local copy may hold edits that never left this device. */
export type SavedState =
  | { kind: "unknown" | "saved" }
  | { kind: "saving" | "unsaved"; edits: number };

/**
 * The arithmetic of asking and being answered; time comes in as an argument, in milliseconds.
 *
 * Version 1 is the document as it was loaded, and each local edit makes the next version.
 * At most one question is open at a time.
 */
export class Ledger {
  private made = 1;
  private asked = 0;
  private saved = 0;
  private isOpen = false;
  private waitingSince = 0;
  private askedAt = 0;

  /** Count one local edit. */
  edited(now: number): void {
    if (this.saved === this.made) this.waitingSince = now;
    this.made += 1;
  }

  /** Learn that this connection has been given everything that was made before it. */
  opened(now: number): void {
    // What waited for a connection was shown as unsaved: no grace before it is shown as being saved.
    if (!this.isOpen) this.waitingSince = now - SAVING_AFTER_MS;
    this.isOpen = true;
  }

  /** Learn that the connection is gone; what was not answered will be asked again on the next. */
  closed(): void {
    this.isOpen = false;
    this.asked = this.saved;
  }

  /** Return the version to ask for now, or null when there is nothing to ask or no one to ask. */
  ask(now: number): number | null {
    if (!this.isOpen || this.asked > this.saved || this.saved === this.made) return null;
    this.asked = this.made;
    this.askedAt = now;
    return this.asked;
  }

  /** Take the answer to a question; a version that was not asked for is ignored. */
  answered(version: number): void {
    if (version !== this.asked || version <= this.saved) return;
    this.saved = version;
    this.waitingSince = this.askedAt;
  }

  /** Whether time alone can change what `state` says. */
  get isWaiting(): boolean {
    return this.isOpen && this.saved < this.made;
  }

  /** Edits of this page that are not known to be on the server's disk. */
  get edits(): number {
    // What was loaded is version 1 and no edit of this page.
    return this.made - Math.max(this.saved, 1);
  }

  /** What to tell the person. */
  state(now: number): SavedState {
    const edits = this.edits;
    if (this.saved === this.made) return { kind: "saved" };
    if (edits === 0) return { kind: "unknown" };
    const waited = now - this.waitingSince;
    if (!this.isOpen || waited >= OVERDUE_AFTER_MS) return { kind: "unsaved", edits };
    if (waited >= SAVING_AFTER_MS) return { kind: "saving", edits };
    return { kind: this.saved === 0 ? "unknown" : "saved" };
  }
}

/** Keeps a ledger for one provider; emits "change" with every new state. */
export class Saved extends ObservableV2<{ change: (state: SavedState) => void }> {
  private readonly ledger = new Ledger();
  private timer: ReturnType<typeof setTimeout> | null = null;
  private shown: SavedState = { kind: "unknown" };

  /** `isLocalEdit` tells this page's own edits from what came in, by a transaction's origin. */
  constructor(
    private readonly doc: Y.Doc,
    private readonly provider: WebsocketProvider,
    private readonly isLocalEdit: (origin: unknown) => boolean,
  ) {
    super();
    doc.on("update", this.onUpdate);
    provider.on("connection-close", this.onClose);
    provider.messageHandlers[MESSAGE_SAVED] = (_encoder, decoder) => this.onAnswer(decoder);
    this.watchSync();
  }

  /** The state that was last told by "change". */
  get state(): SavedState {
    return this.shown;
  }

  /** Edits of this page that are not known to be on the server's disk, without the grace of `state`. */
  get edits(): number {
    return this.ledger.edits;
  }

  /** Stop counting and asking. */
  override destroy(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.doc.off("update", this.onUpdate);
    this.provider.off("connection-close", this.onClose);
    super.destroy();
  }

  /**
   * Ask only once the server's sync step 1 was answered: the answer carries the offline edits, and a
   * question that overtook them would be answered without them.
   */
  private watchSync(): void {
    const handleSync = this.provider.messageHandlers[MESSAGE_SYNC];
    if (handleSync === undefined) throw new Error("the provider handles no sync messages");
    this.provider.messageHandlers[MESSAGE_SYNC] = (encoder, ...rest) => {
      handleSync(encoder, ...rest);
      // Only an answer makes the reply longer than its type. It leaves when this handler is done.
      if (encoding.length(encoder) > 1) queueMicrotask(this.onOpen);
    };
  }

  private readonly onUpdate = (_update: Uint8Array, origin: unknown): void => {
    if (!this.isLocalEdit(origin)) return;
    this.ledger.edited(Date.now());
    this.refresh();
  };

  private readonly onOpen = (): void => {
    this.ledger.opened(Date.now());
    this.ask();
    this.refresh();
  };

  private readonly onClose = (): void => {
    this.ledger.closed();
    this.refresh();
  };

  private onAnswer(decoder: decoding.Decoder): void {
    const payload = decoding.readVarUint8Array(decoder);
    this.ledger.answered(decoding.readVarUint(decoding.createDecoder(payload)));
    this.refresh();
  }

  private readonly tick = (): void => {
    this.timer = null;
    this.ask();
    this.refresh();
  };

  private ask(): void {
    const socket = this.provider.ws;
    if (socket === null || socket.readyState !== socket.OPEN) return;
    const version = this.ledger.ask(Date.now());
    if (version === null) return;
    socket.send(encodeQuestion(version));
  }

  private refresh(): void {
    if (this.ledger.isWaiting) this.timer ??= setTimeout(this.tick, TICK_MS);
    const state = this.ledger.state(Date.now());
    if (isSameState(state, this.shown)) return;
    this.shown = state;
    this.emit("change", [state]);
  }
}

function encodeQuestion(version: number): Uint8Array<ArrayBuffer> {
  const payload = encoding.createEncoder();
  encoding.writeVarUint(payload, version);
  const message = encoding.createEncoder();
  encoding.writeVarUint(message, MESSAGE_SAVED);
  encoding.writeVarUint8Array(message, encoding.toUint8Array(payload));
  return encoding.toUint8Array(message);
}

function isSameState(one: SavedState, other: SavedState): boolean {
  const edits = (state: SavedState): number => ("edits" in state ? state.edits : 0);
  return one.kind === other.kind && edits(one) === edits(other);
}
