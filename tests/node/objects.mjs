/** What editors keep in a document besides text: objects of several keys, in every place where they may be. */

import * as Y from 'yjs'

const LINK = { href: 'https://example.org/é', target: '_blank', rel: 'noopener noreferrer' }
const IMAGE = { image: 'data:image/png;base64,AAAA', alt: 'a boat', width: 320, height: 200.5 }
const ATTRIBUTES = { textAlign: 'left', indent: 2, lineHeight: null, style: { color: 'red', weight: 1.5 } }

const record = n => ({
  id: `shape:${n}`,
  x: n / 3,
  y: -n,
  isLocked: false,
  meta: {},
  props: { w: 1, h: 2.5, geo: 'rectangle', points: [{ x: 0.1, y: n / 7 }, { x: 1, y: 2 }] }
})

/** Writes a little of each kind: a link, a Quill image, a Tiptap paragraph, a tldraw record, a subdocument. */
export const writeObjects = (doc, n) => {
  const text = doc.getText('text')
  doc.transact(() => {
    text.insert(text.length, `link ${n}`, { link: LINK })
    text.insert(text.length, ' and no link ', { link: null })
    text.insertEmbed(text.length, IMAGE, { float: { side: 'left', margin: 3, wrap: true } })
  })
  doc.transact(() => {
    const paragraph = new Y.XmlElement('paragraph')
    doc.getXmlFragment('prosemirror').push([paragraph])
    paragraph.setAttribute('id', `p${n}`)
    paragraph.setAttribute('attrs', ATTRIBUTES)
    const words = new Y.XmlText(`paragraph ${n}`)
    paragraph.push([words])
    words.format(0, 4, { link: LINK, bold: {} })
  })
  doc.transact(() => {
    const records = doc.getMap('records')
    records.set(`shape:${n}`, record(n))
    records.set(`shape:${n >> 1}`, record(n + 0.5))
    doc.getArray('elements').push([record(n), [record(-n), null]])
  })
  doc.getMap('pages').set(`page ${n}`, new Y.Doc({ guid: `guid ${n}`, autoLoad: n % 2 === 0 }))
}

const sorted = value => {
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Y.Doc) return { guid: value.guid, autoLoad: value.autoLoad, gc: value.gc }
  if (Array.isArray(value)) return value.map(sorted)
  return Object.fromEntries(Object.keys(value).sort().map(key => [key, sorted(value[key])]))
}

const xml = node => node instanceof Y.XmlText
  ? node.toDelta()
  : { name: node.nodeName, attributes: node.getAttributes(), children: node.toArray().map(xml) }

/** All of it as JSON, always the same for the same content. */
export const readObjects = doc => JSON.stringify(sorted({
  text: doc.getText('text').toDelta(),
  prosemirror: doc.getXmlFragment('prosemirror').toArray().map(xml),
  records: Object.fromEntries(doc.getMap('records').entries()),
  elements: doc.getArray('elements').toArray(),
  pages: Object.fromEntries(doc.getMap('pages').entries())
}))
