import { describe, expect, test } from "vitest";

import { endOfAccess, refusal } from "../src/refusal";

describe("refusal", () => {
  test("what was taken out happened once, and what is full stays so", () => {
    const takenOut = refusal("4413: something was too large and was taken out");
    expect(takenOut).toMatchObject({ code: 4413, holds: false });
    expect(takenOut.text).toMatch(/too large for the server and was taken out again\. All the rest is kept\.$/);
    const full = refusal("4413: the document is full, edits are not saved");
    expect(full).toMatchObject({ code: 4413, holds: true });
    expect(full.text).toMatch(/^This document is full\. What you type from now on is not saved/);
  });

  test("a known code has the page's own sentence, whatever the phrase", () => {
    const foreign = refusal("4403: foreign origin");
    expect(foreign.code).toBe(4403);
    expect(foreign.text).toBe("The server refused something: this page's address is not allowed to connect.");
  });

  test("an unknown code, or none, leaves the server's phrase", () => {
    expect(refusal("4999: the moon is full")).toMatchObject({
      text: "The server refused something: the moon is full.",
      code: 4999,
    });
    expect(refusal("permission-denied").text).toBe("The server refused something: permission-denied.");
    expect(refusal("permission-denied").code).toBeNull();
  });

  test("a phrase is one line, ends, and is never nothing", () => {
    expect(refusal("4999: two\n\tlines.").text).toBe("The server refused something: two lines.");
    expect(refusal("🎉".repeat(5000)).text).toBe(`The server refused something: ${"🎉".repeat(200)}.`);
    expect(refusal("").text).toBe("The server refused something: it does not say why.");
    expect(refusal("4999: ").text).toBe("The server refused something: it does not say why.");
  });
});

describe("endOfAccess", () => {
  test.each([4400, 4401, 4403, 4404, 4406, 4409, 4413])("%d has words of its own", (code) => {
    const text = endOfAccess(code, "the server's phrase", 0, true);
    expect(text).toMatch(/^Access ended: .+\. From now on nothing is saved/);
    expect(text).not.toContain("phrase");
  });

  test("any other code is explained by the server", () => {
    expect(endOfAccess(4499, "out of ink", 0, true)).toMatch(/^Access ended: out of ink\. From now on/);
    expect(endOfAccess(4499, "", 0, true)).toMatch(/^Access ended: it does not say why\. From now on/);
  });

  test("edits that are not saved are counted, and it says where they are", () => {
    expect(endOfAccess(4403, "", 1, true)).toContain("Your last edit is not on the server, only on this device.");
    expect(endOfAccess(4404, "", 3, false)).toContain(
      "Your last 3 edits are not on the server, and gone when this page closes.",
    );
  });
});
