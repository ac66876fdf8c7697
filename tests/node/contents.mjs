/**
 * What people put into documents beside plain text, and how it reads: each content in a shared type of its own.
 *
 * `write` puts it there as an editor does, `read` says what stands there, `becomes` what others read where that
 * is not what its author wrote (references/protocol.md, U13, U15).
 */

import { Buffer } from 'node:buffer'
import * as Y from 'yjs'

const set = value => ({
  write: (doc, name) => doc.getMap(name).set('value', value()),
  read: (doc, name) => doc.getMap(name).get('value')
})

const embed = (value, becomes) => ({
  write: (doc, name) => doc.getText(name).insertEmbed(0, value()),
  read: (doc, name) => doc.getText(name).toDelta()[0]?.insert,
  becomes
})

const mark = (value, becomes) => ({
  write: (doc, name) => doc.getText(name).insert(0, 'marked', { mark: value() }),
  read: (doc, name) => doc.getText(name).toDelta()[0]?.attributes?.mark,
  becomes
})

const arrayOf = (hex) => ({
  write: (doc) => Y.applyUpdate(doc, Buffer.from(hex.replaceAll(' ', ''), 'hex')),
  read: (doc) => [doc.getArray('a').toArray(), doc.getText('t').toString().length, doc.getText('u').toString()]
})

const nested = (depth, value = 0) => depth === 0 ? value : [nested(depth - 1, value)]

const HALF = 'Party 🎉'.slice(0, 7)
const WHOLE = 'Party \ufffd'
const LINK = { href: 'https://example.org', target: '_blank', rel: 'noopener' }

export const CONTENTS = {
  'old array beside texts': arrayOf('01020100 02010161010131 040101740a 6162636465666768696a 00'),
  'link': mark(() => LINK),
  'image': embed(() => ({ image: 'data:image/png;base64,AAAA', alt: 'a boat', width: 94383151595.47633 })),
  'record': set(() => ({ id: 'shape:1', type: 'geo', props: { w: 0.1, h: 1e21, text: 'née' }, meta: {}, x: -0.5 })),
  'half an emoji in a mark': mark(() => ({ ...LINK, href: HALF }), { ...LINK, href: WHOLE }),
  'half an emoji in an embed': embed(() => ({ [HALF]: [HALF] }), { [WHOLE]: [WHOLE] }),
  '2**63': embed(() => ({ n: 2 ** 63 })),
  '20 digits': mark(() => ({ id: 12345678901234567890 })),
  'json 130 deep': mark(() => nested(130)),
  'json 500 deep': embed(() => nested(500)),
  'value 65 deep': set(() => nested(65)),
  'value 500 deep': set(() => nested(499, { a: undefined, b: null })),
  'small int64': set(() => 5n),
  'int64': set(() => [2n ** 53n, -(2n ** 63n), 2n ** 63n - 1n]),
  'negative zero': set(() => [-0, { n: -0 }]),
  'float': set(() => [0.1, Number.MIN_VALUE, Infinity, NaN, 2 ** 40]),
  'undefined': set(() => [undefined, null]),
  'a key that is a prototype': { ...set(() => JSON.parse('{"__proto__": {"x": 1}, "a": 2}')), becomes: { a: 2 } },
  'bytes': set(() => new Uint8Array([0, 255, 1])),
  'large bytes': set(() => new Uint8Array(10 * 2 ** 20).fill(7)),
  'subdocument': {
    write: (doc, name) => doc.getMap(name).set('value', new Y.Doc({ guid: 'g', meta: { b: 1, a: -0 }, gc: false })),
    read: (doc, name) => {
      const inner = doc.getMap(name).get('value')
      return inner && { guid: inner.guid, meta: inner.meta, gc: inner.gc, autoLoad: inner.autoLoad }
    }
  },
  'attributes': {
    write: (doc, name) => {
      const node = new Y.XmlElement('p')
      node.setAttribute('style', { color: 'red', width: 1 })
      node.setAttribute('level', 2)
      doc.getXmlFragment(name).insert(0, [node])
    },
    read: (doc, name) => doc.getXmlFragment(name).get(0)?.getAttributes()
  },
  'hook': {
    write: (doc, name) => doc.getXmlFragment(name).insert(0, [new Y.XmlHook('hook')]),
    read: (doc, name) => {
      const node = doc.getXmlFragment(name).get(0)
      return node && (node instanceof Y.XmlHook ? node.hookName : `<${node.nodeName}>`)
    },
    becomes: '<hook>'
  }
}

/** Says a value so that −0, an int64, bytes and undefined are told apart and the order of keys is not. */
export const tell = value => {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (value instanceof Uint8Array) return `bytes ${value.length} ${value[0]} ${value.at(-1)}`
  if (Array.isArray(value)) return `[${value.map(tell).join(', ')}]`
  if (value !== null && typeof value === 'object') {
    return `{${Object.keys(value).sort().map(key => `${JSON.stringify(key)}: ${tell(value[key])}`).join(', ')}}`
  }
  return value === undefined ? 'undefined' : JSON.stringify(value)
}

/** Puts every content into the document; its author's typing goes on between them. */
export const write = doc => {
  for (const [name, content] of Object.entries(CONTENTS)) {
    content.write(doc, name)
    doc.getText('text').insert(0, '.')
  }
}

/** What stands in the document, by name. */
export const read = doc =>
  Object.fromEntries(Object.entries(CONTENTS).map(([name, content]) => [name, tell(content.read(doc, name))]))

/** What others are to read of what the author of `doc` wrote. */
export const wanted = doc => Object.fromEntries(Object.entries(CONTENTS).map(([name, content]) =>
  [name, tell('becomes' in content && content.becomes !== undefined ? content.becomes : content.read(doc, name))]))
