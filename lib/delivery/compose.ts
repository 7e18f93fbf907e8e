// From what a person typed, piped or named to a staged message. Everything is checked that can be before the first
// byte is written: files open, sizes within the limit, a header that fits. Bytes are kept exactly as they are.

import { resolve } from 'node:path'

import { concat } from '../base/bytes.ts'
import { EX, Failure, ioFailure, Malformed } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Self } from '../disk/self.ts'
import type { QueuedOptions } from '../disk/queued.ts'
import type { FileHandle } from '../disk/filehandle.ts'
import type { Home } from '../disk/home.ts'
import { type Limit, overLimit, stageBody, type PartSource, type Staged } from '../disk/staging.ts'
import {
  checkHeader,
  isPartName,
  isText,
  MESSAGE_MAX,
  NAME_MAX,
  OCTETS,
  PARTS_MAX,
  SUBJECT_MAX,
  TEXT_MAX,
  type Hash,
  type Header,
} from '../wire/envelope.ts'
import { START, typeOfFile } from '../wire/filetype.ts'
import { cutBytes } from '../wire/mimeword.ts'
import { largestBody } from './limits.ts'

const TEXT_TYPE = 'text/plain'

/** What a text that is none (binary, too long) is called unless it is given a name. */
const UNNAMED = 'stdin'

/** Bytes read at once from an attached file. */
const BLOCK = 1 << 20

/** A file or directory to send: by its path, or bytes under a name, of a media type if that is known better than by the name. */
export type Attachment = { path: string } | { name: string; type?: string; content: AsyncIterable<Uint8Array> }

export interface Letter {
  /** The text; what turns out to be none is sent as a file. */
  text?: Uint8Array | AsyncIterable<Uint8Array> | undefined
  /** The name of that file. */
  textName?: string | undefined
  attachments: Attachment[]
  subject?: string | undefined
  reply?: string | undefined
  reaction?: string | undefined
  /** The own earlier message that this one takes the place of, or takes back. */
  edit?: string | undefined
  recall?: string | undefined
  auto?: boolean | undefined
  /** Hears of what could not be sent as it was. */
  tell?: ((text: string) => void) | undefined
  /** Unix ms; Infinity: never. Without: as configured for each recipient. */
  expires?: number | undefined
  /** Takes the place of older ones of the same tag. */
  tag?: string | undefined
}

/** A letter without its recipients, on disk or in memory; ends with discard(staged). */
export interface Composed {
  staged: Staged
  header: Omit<Header, 'parts'>
  opts: QueuedOptions
}

/** Whether a command for a message runs this program: what it sends has no command run there, so two bots cannot loop. */
export function insideHook(): boolean {
  return /^[0-9a-f]{64}$/.test(process.env['P2P_ID'] ?? '')
}

/**
 * Stages a letter. Throws Failure 66 for a file that cannot be read, 65 for a body over `limit`, too many parts, a bad
 * name or a header that does not fit, 74 for a full disk; nothing is left behind then.
 */
export async function compose(home: Home, hash: Hash, letter: Letter, limit: Limit = { bytes: MESSAGE_MAX }): Promise<Composed> {
  const { reply, reaction, edit, recall, auto, expires, tag } = letter
  const subject = letter.subject === undefined ? undefined : cleanSubject(letter.subject)
  const header = {
    ...(subject !== undefined && { subject }),
    ...(reply !== undefined && { reply }),
    ...(reaction !== undefined && { reaction }),
    ...(edit !== undefined && { edit }),
    ...(recall !== undefined && { recall }),
    ...(auto === true && { auto }),
  }
  const opened: OpenFile[] = []
  try {
    for (const attachment of letter.attachments) {
      if ('path' in attachment) opened.push(await openFile(home, attachment.path))
    }
    const sources = await partSources(home, letter, opened)
    checkShape(header, sources)
    checkSize(letter, opened, limit)
    const staged = await stageBody(home, hash, sources, limit)
    return { staged, header, opts: { ...(expires !== undefined && { expires }), ...(tag !== undefined && { tag }) } }
  } catch (error) {
    if (error instanceof Error && 'code' in error) throw ioFailure(error, 'cannot queue the message')
    throw error
  } finally {
    for (const { handle } of opened) await handle?.close().catch(() => undefined)
  }
}

/** The largest body that goes to all of them: by the own settings, and by what contacts have said that they take. */
export function limitFor(config: Config, to: (Contact | Self)[]): Limit {
  let least: Limit = { bytes: Infinity }
  for (const one of to) {
    const own = { bytes: config.of('me' in one ? { key: one.key, name: 'me' } : one).message }
    const theirs = 'me' in one || one.takes === undefined ? own : { bytes: largestBody(one.takes), of: one.name }
    for (const each of [own, theirs]) if (each.bytes < least.bytes) least = each
  }
  return least
}

interface OpenFile {
  path: string
  /** Undefined: a directory, opened when its turn comes. */
  handle: FileHandle | undefined
  size: number
}

async function openFile(home: Home, path: string): Promise<OpenFile> {
  try {
    if ((await home.files.stat(`${path}/.`))?.kind === 'dir') {
      await home.files.list(path) // whether it may be read
      return { path, handle: undefined, size: 0 }
    }
    const handle = await home.files.open(path, 'read')
    return { path, handle, size: await handle.size() }
  } catch (error) {
    throw unreadable(path, error)
  }
}

function unreadable(path: string, error: unknown): Failure {
  const why: Record<string, string> = {
    ENOENT: 'no such file',
    ENOTDIR: 'no such file',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EISDIR: 'is a directory',
    ELOOP: 'too many links',
    ENAMETOOLONG: 'name too long',
    ENXIO: 'not a file',
  }
  const code = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? '') : ''
  if (code === '') throw error
  return new Failure(EX.NO_INPUT, `cannot read ${quote(path)}: ${why[code] ?? code}`)
}

async function* fileContent(path: string, handle: FileHandle): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; ) {
    let piece: Uint8Array
    try {
      piece = await handle.read(at, BLOCK)
    } catch (error) {
      throw unreadable(path, error)
    }
    if (piece.length > 0) yield piece
    if (piece.length < BLOCK) return
    at += piece.length
  }
}

async function partSources(home: Home, letter: Letter, opened: OpenFile[]): Promise<PartSource[]> {
  const sources: PartSource[] = []
  if (letter.text !== undefined) sources.push(await textOrFile(letter.text, letter.textName ?? UNNAMED))
  const files = opened.values()
  for (const attachment of letter.attachments) {
    if ('path' in attachment) {
      const { path, handle } = files.next().value as OpenFile
      if (handle === undefined) sources.push(await directorySource(home, path, letter.tell))
      else sources.push(await fileSource(baseName(path), fileContent(path, handle)))
    } else {
      sources.push(await fileSource(attachment.name, attachment.content, attachment.type))
    }
  }
  if (sources.length === 0) sources.push({ type: TEXT_TYPE, content: new Uint8Array(0) })
  if (sources.length > PARTS_MAX) throw new Failure(EX.DATA, `${sources.length} parts, at most ${PARTS_MAX} are allowed`)
  return sources
}

/** Text if it is one: read up to the limit of a text to find out, and the rest later if it is not. */
async function textOrFile(content: Uint8Array | AsyncIterable<Uint8Array>, name: string): Promise<PartSource> {
  if (content instanceof Uint8Array) {
    return isText(content) ? { type: TEXT_TYPE, content } : fileSource(name, content)
  }
  const rest = content[Symbol.asyncIterator]()
  const held: Uint8Array[] = []
  let size = 0
  while (size <= TEXT_MAX) {
    const next = await rest.next()
    if (next.done === true) {
      const whole = concat(...held)
      return isText(whole) ? { type: TEXT_TYPE, content: whole } : fileSource(name, whole)
    }
    held.push(next.value.slice())
    size += next.value.length
  }
  return fileSource(name, chain(held, rest))
}

async function* chain(held: Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* held
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}

/** A file under this name; its type by its first bytes, unless it is known: of mere octets nothing is known. */
async function fileSource(name: string, content: Uint8Array | AsyncIterable<Uint8Array>, type?: string): Promise<PartSource> {
  if (!isPartName(name)) throw new Failure(EX.DATA, `bad file name ${quote(name)}: 1 to 255 bytes without NUL expected`)
  if (type !== undefined && type !== OCTETS) return { type, name, content }
  if (content instanceof Uint8Array) return { type: typeOfFile(name, content), name, content }
  const rest = content[Symbol.asyncIterator]()
  const held: Uint8Array[] = []
  for (let size = 0; size < START; ) {
    const next = await rest.next()
    if (next.done === true) break
    held.push(next.value.slice())
    size += next.value.length
  }
  return { type: typeOfFile(name, concat(...held)), name, content: chain(held, rest) }
}

/** One archive of all that is in it, made while it is read; the own home and its keys are in none. */
function directorySource(home: Home, path: string, tell: Letter['tell'] = () => undefined): Promise<PartSource> {
  const name = cutBytes(baseName(resolve(path)), NAME_MAX - '.tar'.length)
  const named = name === '' ? 'root' : name
  const content = async function* (): AsyncGenerator<Uint8Array> {
    const { treeFiles } = await import('../disk/tree.ts')
    const { packTar } = await import('../wire/tar.ts')
    yield* await packTar(treeFiles(home.files, path, { name: named, without: home.path, tell }))
  }
  return fileSource(`${named}.tar`, content(), 'application/x-tar')
}

function baseName(path: string): string {
  return path.replace(/\/+$/, '').split('/').at(-1) ?? path
}

/** A subject is one line: runs of control characters, line breaks among them, become a blank. */
function cleanSubject(subject: string): string {
  const clean = subject.replace(/[\0-\x1f\x7f-\x9f\u2028\u2029]+/g, ' ').trim()
  const length = Array.from(clean).length
  if (length > SUBJECT_MAX) throw new Failure(EX.DATA, `subject of ${length} characters, at most ${SUBJECT_MAX} are allowed`)
  return clean
}

function checkShape(header: Omit<Header, 'parts'>, sources: PartSource[]): void {
  const parts = sources.map(({ type, name }) => ({
    type,
    ...(name !== undefined && { name }),
    size: Math.floor(Number.MAX_SAFE_INTEGER / PARTS_MAX), // as many digits as a size can have
  }))
  try {
    checkHeader({ ...header, parts })
  } catch (error) {
    if (error instanceof Malformed) throw new Failure(EX.DATA, `cannot send this: ${error.message}`)
    throw error
  }
}

/** What the sizes of plain files already tell; anything else is counted while it is read. */
function checkSize(letter: Letter, opened: OpenFile[], limit: Limit): void {
  const text = letter.text instanceof Uint8Array ? letter.text.length : 0
  const size = opened.reduce((sum, file) => sum + file.size, text)
  if (size > limit.bytes) throw overLimit(`${size} bytes`, limit)
}
