/**
 * One person's copy of one document: the Yjs document, its connection and its offline copy.
 * Knows no DOM.
 */
import { ObservableV2 } from "lib0/observable";
import { IndexeddbPersistence } from "y-indexeddb";
import { readAuthMessage } from "y-protocols/auth";
import type { Awareness } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

import { Notices } from "./notices";
import { endOfAccess, refusal } from "./refusal";
import { Saved } from "./saved";

/** "offline" is by choice, "reconnecting" is not, and "ended" is for good. */
export type Status = "connecting" | "live" | "reconnecting" | "offline" | "ended";

/** What addresses one copy of one document. */
export interface Address {
  /** Where documents are served, such as ws://127.0.0.1:8000/ws. */
  server: string;
  document: string;
  /** Tells apart the copies that one browser keeps of the document. */
  copy: string;
}

const MESSAGE_AUTH = 2;

const DELETED = 4404;
const OTHER_LINEAGE = 4409;
/** After these a kept copy must not come back: it is of a document that the server no longer has. */
const FORGET = new Set([DELETED, OTHER_LINEAGE]);

/** Emits "change" when status, saved state, the offline copy or the notices changed. */
export class Session extends ObservableV2<{ change: () => void }> {
  readonly document = new Y.Doc();
  readonly text = this.document.getText("text");
  readonly saved: Saved;
  readonly notices = new Notices(() => this.changed());

  private readonly provider: WebsocketProvider;
  private readonly copyName: string;
  private copy: IndexeddbPersistence | null = null;
  private hasStarted = false;
  private wasLive = false;
  private ended: { code: number; reason: string } | null = null;

  constructor(address: Address) {
    super();
    const path = address.document.split("/").map(encodeURIComponent).join("/");
    this.copyName = `cowrite:${address.server}/${path}:${address.copy}`;
    this.provider = new WebsocketProvider(address.server, path, this.document, {
      connect: false,
      // Panes and windows meet on the server only, so that the switch of one of them is honest.
      disableBc: true,
    });
    this.saved = new Saved(this.document, this.provider, (origin) => this.isLocalEdit(origin));
    this.watch();
  }

  /** Load the offline copy, if this browser keeps one, and then connect. */
  async start(): Promise<void> {
    this.copy = await openCopy(this.copyName, this.document);
    this.hasStarted = true;
    this.provider.connect();
    this.changed();
  }

  /** The presence table; it lives as long as the session. */
  get awareness(): Awareness {
    return this.provider.awareness;
  }

  /** How the document is connected now. */
  get status(): Status {
    if (this.ended !== null) return "ended";
    if (this.provider.synced) return "live";
    if (this.hasStarted && !this.provider.shouldConnect) return "offline";
    return this.wasLive ? "reconnecting" : "connecting";
  }

  /** Why the access ended and what that means, in words; empty before. */
  get end(): string {
    if (this.ended === null) return "";
    return endOfAccess(this.ended.code, this.ended.reason, this.saved.edits, this.isKeptHere);
  }

  /** Whether edits survive closing the page while they are not on the server. */
  get isKeptHere(): boolean {
    return this.copy !== null;
  }

  /** Connect or disconnect by choice; without effect once the access ended. */
  setOnline(isOnline: boolean): void {
    if (this.ended !== null) return;
    if (isOnline) this.provider.connect();
    else this.provider.disconnect();
    this.changed();
  }

  private isLocalEdit(origin: unknown): boolean {
    return origin !== this.provider && !(origin instanceof IndexeddbPersistence);
  }

  private watch(): void {
    this.provider.on("status", ({ status }) => {
      if (status === "connected") this.connected();
      this.changed();
    });
    this.provider.on("sync", (isSynced) => {
      this.wasLive ||= isSynced;
      this.changed();
    });
    this.provider.on("closed", ({ code, reason }) => this.finish(code, reason));
    // Of stock handlers this one only writes to the console. It is no end: the server closes where it means one.
    this.provider.messageHandlers[MESSAGE_AUTH] = (_encoder, decoder) =>
      readAuthMessage(decoder, this.document, (_document, reason) => this.notices.add(refusal(reason)));
    this.saved.on("change", () => this.changed());
  }

  private connected(): void {
    this.notices.connected();
    announceAgain(this.awareness);
  }

  private finish(code: number, reason: string): void {
    this.ended = { code, reason };
    this.notices.ended(code);
    if (FORGET.has(code)) {
      void this.copy?.clearData();
      this.copy = null;
    }
    this.changed();
  }

  private changed(): void {
    this.emit("change", []);
  }
}

/** A returning person is unseen until their clock moves: the others heard them leave at the old one. */
function announceAgain(awareness: Awareness): void {
  awareness.setLocalState(awareness.getLocalState());
}

/** Open the offline copy and load it into `document`; null where the browser keeps nothing. */
async function openCopy(name: string, document: Y.Doc): Promise<IndexeddbPersistence | null> {
  if (!(await canKeepCopies())) return null;
  const copy = new IndexeddbPersistence(name, document);
  await copy.whenSynced;
  return copy;
}

/** y-indexeddb never says that it could not open its database, so ask with one of our own. */
function canKeepCopies(): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open("cowrite");
      request.onerror = () => resolve(false);
      request.onsuccess = () => {
        request.result.close();
        resolve(true);
      };
    } catch {
      resolve(false);
    }
  });
}
