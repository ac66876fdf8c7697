/**
 * Yjs itself, as the judge: reads updates, and what Cowrite made of them, and says whether that is the same.
 *
 * A request is one line of JSON with a list of cases, its answer one line with as many answers, in order. A case is
 *   {updates, readings: {name: updates}, known, diff, leniencies}
 * `updates` are the original ones, `readings` other lists of updates that ought to say the same, and `diff` is what a
 * peer is sent whose state vector is `known`. Updates are base64. The answer is
 *   {error}                                            Yjs refuses the original updates
 *   {clocks, isPending, wrong: [[name, expected, found]]}
 * Of the leniencies, `isWellFormed` takes half a surrogate pair for U+FFFD, `mayForget` leaves out what Yjs drops when it
 * encodes again (-0 in JSON, some options of a subdocument), and `onlyClocks` all but the state vector.
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

/** Says what is in a document: one text for each state, another one for every other but for the leniencies. */
class Description {
  constructor (leniencies) {
    this.isWellFormed = leniencies.includes('isWellFormed')
    this.mayForget = leniencies.includes('mayForget')
    this.onlyClocks = leniencies.includes('onlyClocks')
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
      case 'number': return Object.is(value, -0) && !this.mayForget ? '-0' : String(value)
      case 'bigint': return value + 'n'
      case 'string': return this.string(value)
      case 'object': return value === null ? 'null' : this.object(value)
      default: return String(value)
    }
  }

  object (object) {
    if (ArrayBuffer.isView(object)) return 'bytes ' + Buffer.from(object).toString('hex')
    if (Array.isArray(object)) return '[' + object.map(value => this.value(value)).join() + ']'
    if (object instanceof Y.Doc) return 'Doc' + this.object(this.optionsOf(object))
    const keys = Object.keys(object).filter(key => key !== '__proto__')
    return `{${keys.map(key => this.string(key) + ':' + this.value(object[key])).sort()}}`
  }

  optionsOf ({ guid, gc, autoLoad, meta, shouldLoad, collectionid }) {
    return this.mayForget
      ? { guid, gc: Boolean(gc), autoLoad: Boolean(autoLoad), meta }
      : { guid, gc, autoLoad, meta, shouldLoad, collectionid }
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

const judge = ({ updates, readings, known, diff, leniencies }) => {
  const description = new Description(leniencies)
  const originals = updates.map(bytes)
  let doc, expected
  try {
    doc = load(originals)
    expected = description.of(doc)
  } catch (error) {
    return { error: String(error) }
  }
  const wrong = []
  const check = (name, read) => {
    let found
    try {
      found = description.of(read())
    } catch (error) {
      found = String(error)
    }
    if (found !== expected) wrong.push([name, expected, found])
  }
  for (const [name, reading] of Object.entries(readings)) check(name, () => load(reading.map(bytes)))
  if (diff !== null) check('diff', () => catchUp(originals, known, bytes(diff)))
  const { pendingStructs, pendingDs } = doc.store
  return { clocks: clocksOf(doc), isPending: pendingStructs !== null || pendingDs !== null, wrong }
}

createInterface({ input: process.stdin })
  .on('line', line => process.stdout.write(JSON.stringify(JSON.parse(line).map(judge)) + '\n'))
  .on('close', () => process.exit(0))
