import { describe, expect, test } from "vitest";

import { Ledger } from "../src/saved";

describe("Ledger", () => {
  test("a loaded document is unknown until the server has confirmed it", () => {
    const ledger = new Ledger();
    expect(ledger.state(0)).toEqual({ kind: "unknown" });
    ledger.opened(0);
    expect(ledger.ask(0)).toBe(1);
    expect(ledger.state(5)).toEqual({ kind: "unknown" });
    ledger.answered(1);
    expect(ledger.state(10)).toEqual({ kind: "saved" });
  });

  test("nothing is asked before the connection was given what is here", () => {
    const ledger = new Ledger();
    ledger.edited(0);
    expect(ledger.ask(0)).toBeNull();
    expect(ledger.state(0)).toEqual({ kind: "unsaved", edits: 1 });
  });

  test("an edit that is answered quickly never shows as being saved", () => {
    const ledger = savedLedger();
    ledger.edited(1000);
    expect(ledger.state(1299)).toEqual({ kind: "saved" });
    expect(ledger.ask(1100)).toBe(2);
    ledger.answered(2);
    expect(ledger.state(5000)).toEqual({ kind: "saved" });
  });

  test("a slow answer shows as being saved, and a missing one as not saved", () => {
    const ledger = savedLedger();
    ledger.edited(1000);
    ledger.edited(1050);
    ledger.ask(1100);
    expect(ledger.state(1300)).toEqual({ kind: "saving", edits: 2 });
    expect(ledger.state(11_000)).toEqual({ kind: "unsaved", edits: 2 });
    ledger.answered(3);
    expect(ledger.state(11_001)).toEqual({ kind: "saved" });
  });

  test("edits made after the question are not covered by its answer", () => {
    const ledger = savedLedger();
    ledger.edited(1000);
    expect(ledger.ask(1100)).toBe(2);
    ledger.edited(1150);
    expect(ledger.ask(1160)).toBeNull();
    ledger.answered(2);
    expect(ledger.edits).toBe(1);
    expect(ledger.ask(1200)).toBe(3);
  });

  test("steady typing with steady answers stays saved", () => {
    const ledger = savedLedger();
    for (let now = 1000; now < 5000; now += 100) {
      ledger.edited(now);
      const version = ledger.ask(now);
      ledger.edited(now + 50);
      expect(version).not.toBeNull();
      ledger.answered(version ?? 0);
      expect(ledger.state(now + 99)).toEqual({ kind: "saved" });
    }
  });

  test("what a lost connection did not answer is asked again on the next", () => {
    const ledger = savedLedger();
    ledger.edited(1000);
    expect(ledger.ask(1100)).toBe(2);
    ledger.closed();
    expect(ledger.state(1110)).toEqual({ kind: "unsaved", edits: 1 });
    expect(ledger.ask(1200)).toBeNull();
    ledger.opened(2000);
    expect(ledger.state(2001)).toEqual({ kind: "saving", edits: 1 });
    expect(ledger.ask(2001)).toBe(2);
    ledger.answered(2);
    expect(ledger.state(2002)).toEqual({ kind: "saved" });
  });

  test("an answer that was not asked for saves nothing", () => {
    const ledger = savedLedger();
    ledger.edited(1000);
    ledger.answered(2);
    ledger.answered(99);
    expect(ledger.edits).toBe(1);
  });
});

function savedLedger(): Ledger {
  const ledger = new Ledger();
  ledger.opened(0);
  ledger.answered(ledger.ask(0) ?? 0);
  return ledger;
}
