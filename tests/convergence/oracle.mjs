/**
 * Yjs itself, as the judge: makes random logs of several authors and says what a log amounts to.
 *
 * A request is one line of JSON, its answer one line, in order:
 *   {seed, isCareless}   -> {updates: [[author, base64]], state, json}   a log, in the order it was written;
 *                                                                 careless authors split surrogate pairs
 *   {documents: [[…]]}   -> {jsons: [json | null]}                each list of updates loaded into a fresh Y.Doc;
 *                                                                 null when anything in it stays pending
 *   {merge: [[…]]}       -> {merged: [base64]}                    Y.mergeUpdates of each list, gaps and all
 */

import { Buffer } from 'node:buffer'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const Y = createRequire(new URL('../node/package.json', import.meta.url))('yjs')

const WORDS = ['a', 'be', 'sea', 'née ', 'Ω', '世界', '😀', 'x😀y', '👩‍👩‍👧', '\n', '𝒳𝒴', '"', ' ']
const MARKS = ['bold', 'italic', 'link']
const KEYS = ['href', 'target', 'rel', 'alt', 'é', '', 'x']

/** mulberry32: the same numbers for the same seed, on every machine. */
const randomFrom = seed => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

/** One author at a time does one random thing; `below(n)` is a random integer. */
class Author {
  constructor (doc, below, isCareless) {
    this.doc = doc
    this.below = below
    this.isCareless = isCareless
  }

  pick (list) {
    return list[this.below(list.length)]
  }

  value () {
    return this.pick([
      () => this.below(1000),
      () => this.pick(WORDS),
      () => null,
      () => this.below(2) === 0,
      () => this.below(1000) / 7,
      () => ({ [this.pick(WORDS)]: [this.below(9), { deep: this.pick(WORDS) }] }),
      () => this.object(2),
      () => [this.object(1), this.object(1)],
      () => new Uint8Array([this.below(256), this.below(256)]),
      () => -this.below(2 ** 31),
      () => [this.pick(WORDS), undefined].slice(0, 1)
    ])()
  }

  /** As the attributes, marks and records of editors are: several keys, in any order. */
  object (depth) {
    const keys = KEYS.slice(this.below(3)).sort(() => this.below(3) - 1)
    return Object.fromEntries(keys.map(key => [key, this.pick([
      () => this.pick(WORDS),
      () => this.below(1000) / this.pick([1, 8]), // Of JSON yrs reads some sevenths as their neighbours.
      () => this.pick([null, true, false, 1e21, -(2 ** 40)]),
      () => depth > 0 ? this.object(depth - 1) : [],
      () => [this.below(9), depth > 0 ? this.object(depth - 1) : 'end']
    ])()]))
  }

  subdocument () {
    return new Y.Doc({ guid: `guid ${this.below(2 ** 32)}`, autoLoad: this.below(2) === 0, gc: this.below(2) === 0 })
  }

  /** A shared type that starts with something in it. */
  shared () {
    return this.pick([
      () => new Y.Text(this.pick(WORDS)),
      () => Y.Array.from([this.value(), this.value()]),
      () => new Y.Map([['k', this.value()], ['n', new Y.Array()]]),
      () => this.subdocument()
    ])()
  }

  isSplit (units, at) {
    return !this.isCareless && units[at] >= 0xdc00 && units[at] <= 0xdfff
  }

  index (units) {
    const at = this.below(units.length + 1)
    return this.isSplit(units, at) ? at - 1 : at
  }

  text (text) {
    const units = text.toDelta().flatMap(({ insert }) =>
      typeof insert === 'string' ? Array.from({ length: insert.length }, (_, i) => insert.charCodeAt(i)) : [0])
    const [from, to] = [this.index(units), this.index(units)].sort((a, b) => a - b)
    const span = Math.min(to, from + 12)
    const end = this.isSplit(units, span) ? span + 1 : span
    switch (this.below(8)) {
      case 0: return text.delete(from, end - from)
      case 1: return text.format(from, end - from, { [this.pick(MARKS)]: this.pick([true, null, { href: 'é' }, this.object(1)]) })
      case 2: return text.insertEmbed(from, { image: this.pick(WORDS), ...this.pick([{}, this.object(1)]) })
      case 3: return text.insert(from, this.pick(WORDS), { [this.pick(MARKS)]: true })
      default: return text.insert(from, this.pick(WORDS) + (this.below(2) ? this.pick(WORDS) : ''))
    }
  }

  array (array) {
    const from = this.below(array.length + 1)
    switch (this.below(6)) {
      case 0: return array.delete(from, Math.min(array.length - from, this.below(4)))
      case 1: return array.insert(from, [this.shared()])
      case 2: return this.nested(array.toArray())
      default: return array.insert(from, Array.from({ length: 1 + this.below(3) }, () => this.value()))
    }
  }

  map (map) {
    const key = this.pick(['k', 'n', 'é', 'z'])
    switch (this.below(6)) {
      case 0: return map.delete(key)
      case 1: return map.set(key, this.shared())
      case 2: return this.nested([...map.values()])
      default: return map.set(key, this.value())
    }
  }

  xml (node) {
    const from = this.below(node.length + 1)
    switch (this.below(6)) {
      case 0: return node.delete(from, Math.min(node.length - from, this.below(3)))
      case 1: return node.insert(from, [new Y.XmlText(this.pick(WORDS))])
      case 2: return node instanceof Y.XmlElement && node.setAttribute(this.pick(['id', 'class']), this.pick([this.pick(WORDS), this.object(1)]))
      case 3: return node.insert(from, [new Y.XmlElement(this.pick(['p', 'li', 'h1']))])
      default: return this.nested(node.toArray()) || node.insert(from, [new Y.XmlElement('div')])
    }
  }

  nested (children) {
    const shared = children.filter(child => child instanceof Y.AbstractType)
    if (shared.length === 0) return false
    this.edit(this.pick(shared))
    return true
  }

  edit (type) {
    if (type instanceof Y.Text) return this.text(type)
    if (type instanceof Y.Array) return this.array(type)
    if (type instanceof Y.Map) return this.map(type)
    return this.xml(type)
  }

  act () {
    const { doc } = this
    const root = this.pick([
      () => doc.getText('t'), () => doc.getText('t'), () => doc.getArray('a'), () => doc.getMap('m'),
      () => doc.getXmlFragment('x')
    ])()
    doc.transact(() => {
      for (let n = this.below(3); n >= 0; n--) this.edit(root)
    })
  }
}

const jsonOf = doc => JSON.stringify({
  t: doc.getText('t').toDelta(),
  a: doc.getArray('a').toJSON(),
  m: Object.entries(doc.getMap('m').toJSON()).sort(),
  x: doc.getXmlFragment('x').toArray().map(xmlOf)
}, function (key, value) {
  const { [key]: raw } = this
  if (raw instanceof Y.Doc) return { guid: raw.guid, autoLoad: raw.autoLoad, gc: raw.gc, shouldLoad: raw.shouldLoad }
  return value instanceof Uint8Array ? { bytes: [...value] } : sorted(value)
})

const xmlOf = node => node instanceof Y.XmlText
  ? node.toDelta()
  : { name: node.nodeName, attributes: node.getAttributes(), children: node.toArray().map(xmlOf) }

const sorted = value =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

const exchange = (from, to) => Y.applyUpdate(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)), 'sync')

const writeLog = (seed, isCareless) => {
  const random = randomFrom(seed)
  const below = n => Math.floor(random() * n)
  const updates = []
  const authors = Array.from({ length: 2 + below(4) }, (_, author) => {
    const doc = new Y.Doc()
    doc.clientID = below(2) ? below(2 ** 32) : author + 1
    doc.on('update', (update, origin) => {
      if (origin !== 'sync') updates.push([author, base64(update)])
    })
    return new Author(doc, below, isCareless)
  })
  for (let n = 15 + below(50); n > 0; n--) {
    const author = authors[below(authors.length)]
    author.act()
    if (below(3) === 0) exchange(authors[below(authors.length)].doc, author.doc)
  }
  const everything = load(updates.map(([, update]) => update))
  return { updates, state: base64(Y.encodeStateAsUpdate(everything)), json: jsonOf(everything) }
}

const bytes = text => Buffer.from(text, 'base64')
const base64 = update => Buffer.from(update).toString('base64')

/**
 * What the updates say, and no more: of a remote transaction Yjs tidies up the marks, and depending on how
 * the updates were grouped it now and then drops one that was needed.
 */
const load = updates => {
  const doc = new Y.Doc()
  doc.transact(transaction => {
    for (const update of updates) Y.applyUpdate(doc, bytes(update))
    transaction.local = true
  })
  return doc
}

const judge = updates => {
  const doc = load(updates)
  return doc.store.pendingStructs === null && doc.store.pendingDs === null ? jsonOf(doc) : null
}

const answer = ({ seed, isCareless, documents, merge }) => {
  if (seed !== undefined) return writeLog(seed, isCareless)
  if (documents !== undefined) return { jsons: documents.map(judge) }
  return { merged: merge.map(group => base64(Y.mergeUpdates(group.map(bytes)))) }
}

createInterface({ input: process.stdin })
  .on('line', line => process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + '\n'))
  .on('close', () => process.exit(0))
