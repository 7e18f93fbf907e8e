// A mail as a mail program hands it to sendmail: whom it is for, what it answers, and what of it is sent. Of its fields
// nothing else leaves this machine: a message tells its own sender and time, and Bcc is nobody's business.

import type { Email } from 'postal-mime'

import { concat, utf8 } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { OCTETS, PARTS_MAX } from './envelope.ts'
import { type Entity, parseTree, valuesOf } from './mailtree.ts'

export interface Post {
  /** Addresses of Resent-To, -Cc and -Bcc if there are any, else of To, Cc and Bcc. */
  recipients: string[]
  subject: string | undefined
  /** Ids of our own form that it may answer, the likeliest first. */
  answers: string[]
  /** Made by a program, says Auto-Submitted (RFC 3834). */
  auto: boolean
  /** The first text/plain leaf, else the first text/html as plain text; UTF-8. */
  text: Uint8Array | undefined
  files: PostFile[]
}

export interface PostFile {
  name: string
  type: string
  content: Uint8Array
}

const OWN_ID = /<?\b([0-9a-f]{64})@p2p\.invalid\b/g

/** Whole for a reason: a signature or a key covers the bytes as they are, or it is a mail of its own. */
const WHOLE = new Map([
  ['multipart/signed', 'signed.eml'],
  ['multipart/encrypted', 'encrypted.eml'],
  ['message/rfc822', 'message.eml'],
])

/** Throws Malformed for a mail that cannot be taken apart. */
export async function parsePost(bytes: Uint8Array): Promise<Post> {
  const { decodeWords } = await import('postal-mime')
  const tree = parseTree(withoutMboxLine(bytes))
  const addresses = (...names: string[]): Promise<string[]> => addressesIn(names.flatMap((name) => valuesOf(tree, name)).join(', '))
  const resent = await addresses('resent-to', 'resent-cc', 'resent-bcc')
  const leaves = [...leavesOf(tree)]
  const own = leaves.filter(({ covered }) => covered !== true).length
  if (own > PARTS_MAX) throw new Malformed(`${own} parts, at most ${PARTS_MAX} are allowed`)
  const body = leaves.find(isPlain) ?? leaves.find(isHtml)
  const files: PostFile[] = []
  for (const leaf of leaves) {
    if (leaf === body && isPlain(leaf)) continue
    if (leaf.covered !== true) files.push(await fileOf(leaf, files.length + 1))
  }
  const [subject] = valuesOf(tree, 'subject')
  const auto = valuesOf(tree, 'auto-submitted')[0] ?? 'no'
  return {
    recipients: resent.length > 0 ? resent : await addresses('to', 'cc', 'bcc'),
    subject: subject === undefined || subject === '' ? undefined : decodeWords(subject),
    answers: ['in-reply-to', 'references'].flatMap((name) => idsIn(decodeWords(valuesOf(tree, name).join(' ')))),
    auto: !/^no\b/i.test(auto),
    text: body === undefined ? undefined : await textOf(body),
    files,
  }
}

/** The addresses in a list of mailboxes and groups (RFC 5322 3.4). */
export async function addressesIn(list: string): Promise<string[]> {
  const { addressParser } = await import('postal-mime')
  return addressParser(list, { flatten: true }).flatMap(({ address, name }) => {
    const found = address === '' || address === undefined ? name : address // a bare word is a local name to sendmail
    return found === '' ? [] : [found]
  })
}

/** mbox files and some programs put one in front: `From bob@host Mon Nov ...`. */
function withoutMboxLine(bytes: Uint8Array): Uint8Array {
  if (Buffer.from(bytes.subarray(0, 5)).toString('latin1') !== 'From ') return bytes
  const end = bytes.indexOf(10)
  return bytes.subarray(end < 0 ? bytes.length : end + 1)
}

/**
 * The last one first: it is the message itself, those before it are its ancestors. Python's email folds what is longer
 * than a line into encoded words, which no id should be in.
 */
function idsIn(text: string): string[] {
  return [...text.matchAll(OWN_ID)].map(([, id]) => id as string).reverse()
}

interface Leaf {
  entity: Entity
  /** Inside something that is sent whole: to be read, not to be sent twice. */
  covered?: boolean
}

function* leavesOf(entity: Entity, covered = false): Generator<Leaf> {
  const whole = WHOLE.has(entity.type.value)
  if (whole || entity.parts.length === 0) yield { entity, covered }
  if (whole && entity.type.value !== 'multipart/signed') return
  for (const part of entity.parts) yield* leavesOf(part, covered || whole)
}

function isInline({ entity }: Leaf, type: string): boolean {
  const { disposition } = entity
  const named = disposition.params.has('filename') || entity.type.params.has('name')
  return entity.type.value === type && disposition.value !== 'attachment' && !named
}

const isPlain = (leaf: Leaf): boolean => isInline(leaf, 'text/plain')
const isHtml = (leaf: Leaf): boolean => isInline(leaf, 'text/html')

/** UTF-8, lines ended by line feeds, else as it was typed; of HTML the text. */
async function textOf({ entity }: Leaf): Promise<Uint8Array> {
  const { type } = entity
  if (type.value === 'text/html') return utf8(((await parse(besideText(entity))).text ?? '').trim() + '\n')
  if (type.params.get('format')?.toLowerCase() === 'flowed') return utf8((await parse(entity.bytes)).text ?? '')
  const bytes = await contentOf(entity)
  return utf8(decoderFor(type.params.get('charset')).decode(bytes).replaceAll('\r\n', '\n'))
}

/** postal-mime makes text of HTML only where a mail has text as well. */
function besideText(entity: Entity): Uint8Array {
  const frame = `Content-Type: multipart/mixed; boundary="${BESIDE}"\n\n--${BESIDE}\n\n\n--${BESIDE}\n`
  return concat(utf8(frame), onlyContent(entity), utf8(`\n--${BESIDE}--\n`))
}

const BESIDE = '=_beside_html_=_'

/** The entity without the fields of the mail around it: Bcc is one of them. */
function onlyContent({ fields, body }: Entity): Uint8Array {
  const kept = fields.filter(([name]) => name.startsWith('content-'))
  return concat(utf8(kept.map(([name, value]) => `${name}: ${value}\n`).join('') + '\n'), body)
}

function decoderFor(charset = 'utf-8'): InstanceType<typeof TextDecoder> {
  try {
    return new TextDecoder(charset, { ignoreBOM: true })
  } catch {
    return new TextDecoder('utf-8', { ignoreBOM: true }) // a name that nobody knows
  }
}

/** Its bytes, with the transfer encoding undone; what is sent whole stays as it is, so that a signature holds. */
async function fileOf({ entity }: Leaf, nth: number): Promise<PostFile> {
  const type = entity.type.value
  const whole = WHOLE.get(type)
  const given = await nameOf(entity)
  const name = given !== '' ? given : (whole ?? `part-${nth}${ENDINGS.get(type) ?? ''}`)
  if (whole !== undefined && type !== 'message/rfc822') return { name, type: 'message/rfc822', content: onlyContent(entity) }
  return { name, type, content: await contentOf(entity) }
}

async function nameOf({ type, disposition }: Entity): Promise<string> {
  const { decodeWords } = await import('postal-mime')
  const said = disposition.params.get('filename') ?? type.params.get('name') ?? ''
  return (decodeWords(said).split(/[/\\]/).at(-1) ?? '').replaceAll('\0', '')
}

async function contentOf(entity: Entity): Promise<Uint8Array> {
  const [encoding = ''] = valuesOf(entity, 'content-transfer-encoding')
  if (!/^(?:base64|quoted-printable)\s*$/i.test(encoding)) return entity.body
  const plain = utf8(`Content-Type: ${OCTETS}\nContent-Transfer-Encoding: ${encoding}\nContent-Disposition: attachment\n\n`)
  const [attachment] = (await parse(concat(plain, entity.body))).attachments
  const { content = new Uint8Array(0) } = attachment ?? {}
  return typeof content === 'string' ? utf8(content) : new Uint8Array(content as ArrayBuffer)
}

/** For parts without a name. */
const ENDINGS = new Map([
  ['text/plain', '.txt'],
  ['text/html', '.html'],
  ['text/calendar', '.ics'],
  ['image/png', '.png'],
  ['image/jpeg', '.jpg'],
  ['application/pdf', '.pdf'],
])

async function parse(bytes: Uint8Array): Promise<Email> {
  const { default: PostalMime } = await import('postal-mime')
  try {
    return await PostalMime.parse(bytes, { attachmentEncoding: 'arraybuffer', forceRfc822Attachments: true })
  } catch (error) {
    throw new Malformed(`the mail cannot be taken apart: ${error instanceof Error ? error.message : String(error)}`)
  }
}
