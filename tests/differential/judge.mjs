/**
 * Yjs itself, as the judge: reads updates, and what Cowrite made of them, and says whether that is the same.
 *
 * A request is one line of JSON with a list of cases, its answer one line with as many answers, in order. A case is
 *   {updates, readings: {name: updates}, known, diff, leniencies}
 * `updates` are the original ones, `readings` other lists of updates that ought to say the same, and `diff` is what a
 * peer is sent whose state vector is `known`. Updates are base64. The answer is
 *   {error}                                            Yjs refuses the original updates
 *   {clocks, isPending, wrong: [[name, expected, found]]}
 * Of the leniencies, `isWellFormed` says that halves of surrogate pairs may have become U+FFFD, `mayForget` that what Yjs
 * drops when it encodes again may be gone, and `onlyClocks` that nothing but the state vector is compared.
 */

import { Buffer } from 'node:buffer'
import { webcrypto } from 'node:crypto'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

// A Y.Doc asks for 20 random bytes, which takes longer than all the rest. Nothing here depends on them.
webcrypto.getRandomValues = array => array.fill(0x5eed5eed)

const Y = createRequire(new URL('../node/package.json', import.meta.url))('yjs')

// Yjs says on the console what it finds odd in an update.
console.log = console.warn = console.error = () => {}

const bytes = text => Buffer.from(text, 'base64')

/**
 * Run `change` as one transaction that tidies nothing up: after a remote one Yjs removes marks, and depending on how
 * the updates were grouped it now and then removes one that was needed.
 */
const plainly = (doc, change) => {
  doc.transact(transaction => {
    change()
    transaction.local = true
  })
  return doc
}

/** What waits for each other in two updates Yjs tries again only when it is told again. */
const load = (updates, options) => {
  const doc = new Y.Doc(options)
  return plainly(doc, () => {
    let before, after
    do {
      before = after
      updates.forEach(update => Y.applyUpdate(doc, update))
      after = doc.store.pendingStructs !== null && updates.length > 1 ? String(clocksOf(doc)) : undefined
    } while (before !== after)
  })
}

/** A peer that has of the document what a state vector says, and is sent `diff`. */
const catchUp = (updates, known, diff) => {
  const whole = load(updates, { gc: false })
  const clocks = new Map(known.map(([client, clock]) => [client, Math.min(clock, Y.getState(whole.store, client))]))
  const peer = new Y.Doc()
  return plainly(peer, () => {
    Y.createDocFromSnapshot(whole, Y.createSnapshot(Y.createDeleteSet(), clocks), peer)
    Y.applyUpdate(peer, diff)
  })
}

/** Says exactly what is in a document: one text for each state, another one for every other. */
class Description {
  constructor ({ isWellFormed = false, onlyClocks = false }) {
    this.isWellFormed = isWellFormed
    this.onlyClocks = onlyClocks
  }

  of (doc) {
    const clocks = clocksOf(doc).map(([client, clock]) => client + ':' + clock)
    if (this.onlyClocks) return 'clocks ' + clocks
    const roots = [...doc.share]
      .map(([name, type]) => [name, this.type(type)])
      .filter(([, text]) => text !== 'AbstractType()')
      .map(([name, text]) => JSON.stringify(name) + ' ' + text)
    return ['clocks ' + clocks, 'deleted ' + deletionsOf(doc).join(' '), ...roots.sort()].join('\n')
  }

  /** A type in full, in order; how text is cut into items makes no difference. */
  type (type) {
    const parts = []
    let text = ''
    for (let item = type._start; item !== null; item = item.right) {
      if (item.deleted) continue
      if (item.content instanceof Y.ContentString) {
        text += item.content.str
        continue
      }
      if (text) parts.push('text ' + this.string(text))
      text = ''
      parts.push(this.content(item.content))
    }
    if (text) parts.push('text ' + this.string(text))
    const keys = [...type._map]
      .filter(([, item]) => !item.deleted)
      .map(([key, item]) => JSON.stringify(key) + '=>' + this.content(item.content))
    const name = type.nodeName ?? type.hookName
    const named = type.constructor.name + (name === undefined ? '' : JSON.stringify(name))
    return `${named}(${[...parts, ...keys.sort()].join(';')})`
  }

  /** ContentJSON and ContentAny of the same values are the same. */
  content (content) {
    if (content instanceof Y.ContentType) return this.type(content.type)
    if (content instanceof Y.ContentFormat) return `mark ${JSON.stringify(content.key)} ${this.value(content.value)}`
    if (content instanceof Y.ContentEmbed) return 'embed ' + this.value(content.embed)
    return content.getContent().map(value => this.value(value)).join(';')
  }

  /**
   * -0, BigInt, undefined, NaN and bytes are told apart; the order of keys is not. The key __proto__ is left out: of some
   * values Yjs makes a prototype of it, and forgets it when it encodes again.
   */
  value (value) {
    switch (typeof value) {
      case 'number': return Object.is(value, -0) ? '-0' : String(value)
      case 'bigint': return value + 'n'
      case 'string': return this.string(value)
      case 'object': return value === null ? 'null' : this.object(value)
      default: return String(value)
    }
  }

  object (object) {
    if (ArrayBuffer.isView(object)) return 'bytes ' + Buffer.from(object).toString('hex')
    if (Array.isArray(object)) return '[' + object.map(value => this.value(value)).join() + ']'
    if (object instanceof Y.Doc) {
      const { guid, gc, autoLoad, shouldLoad, meta, collectionid } = object
      return 'Doc' + this.object({ guid, gc, autoLoad, shouldLoad, meta, collectionid })
    }
    const keys = Object.keys(object).filter(key => key !== '__proto__')
    return `{${keys.map(key => this.string(key) + ':' + this.value(object[key])).sort()}}`
  }

  string (text) {
    return JSON.stringify(this.isWellFormed ? text.toWellFormed() : text)
  }
}

const byClient = ([a], [b]) => a - b

const clocksOf = doc => [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(byClient)

const deletionsOf = doc => [...Y.createDeleteSetFromStructStore(doc.store).clients]
  .sort(byClient)
  .map(([client, ranges]) => client + ':' + ranges.map(({ clock, len }) => `${clock}-${clock + len}`))

/** What is right, the exact first; the others are made only where it does not do. */
function * rightOnes (doc, { isWellFormed, mayForget, onlyClocks }) {
  const exact = new Description({ onlyClocks })
  const lenient = new Description({ isWellFormed, onlyClocks })
  yield exact.of(doc)
  if (isWellFormed) yield lenient.of(doc)
  if (mayForget) {
    let again
    try {
      again = load([Y.encodeStateAsUpdate(doc)])
    } catch {
      // The key __proto__ may make of an object what Yjs cannot encode.
      return
    }
    yield exact.of(again)
    if (isWellFormed) yield lenient.of(again)
  }
}

const judge = ({ updates, readings, known, diff, leniencies }) => {
  const leniency = Object.fromEntries(leniencies.map(name => [name, true]))
  const originals = updates.map(bytes)
  let doc
  try {
    doc = load(originals)
  } catch (error) {
    return { error: String(error) }
  }
  const right = []
  const rest = rightOnes(doc, leniency)
  const isRight = found => {
    while (!right.includes(found)) {
      const { value, done } = rest.next()
      if (done) return false
      right.push(value)
    }
    return true
  }
  const wrong = []
  const check = (name, read) => {
    let found
    try {
      found = new Description({ onlyClocks: leniency.onlyClocks }).of(read())
    } catch (error) {
      found = String(error)
    }
    if (!isRight(found)) wrong.push([name, right[0], found])
  }
  for (const [name, reading] of Object.entries(readings)) check(name, () => load(reading.map(bytes)))
  if (diff !== null) check('diff', () => catchUp(originals, known, bytes(diff)))
  const { pendingStructs, pendingDs } = doc.store
  return { clocks: clocksOf(doc), isPending: pendingStructs !== null || pendingDs !== null, wrong }
}

createInterface({ input: process.stdin })
  .on('line', line => process.stdout.write(JSON.stringify(JSON.parse(line).map(judge)) + '\n'))
  .on('close', () => process.exit(0))
