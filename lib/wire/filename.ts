// The one door through which a peer's file name becomes a name on this disk. It trusts nothing: the result is one
// path component of at most 255 bytes that is hidden nowhere, runs nothing and means no device on any system.

import { cutBytes } from './mimeword.ts'

/** NAME_MAX of every file system in use, in bytes. */
const COMPONENT_MAX = 255
/** Bytes kept free for `-999999` before the extension. */
const NUMBER_ROOM = 8
/** What is kept at the end when a name is cut or numbered. */
const EXTENSION = /(?<=.)\.[A-Za-z0-9]{1,15}$/

/** Separators, what Windows and its shells refuse, controls, everything that reorders or hides text. */
const unsafe = (): RegExp => /[/\\<>:"|?*\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}\u206a-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e007f}]/gu
/** Names of devices on Windows, with any extension. */
const DEVICE = /^(?:con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\s*(?:\.|$))/i

/** What a name inside a directory of ours may not have: it moves a terminal's cursor, hides or reorders text, is no text. */
const unshowable = (): RegExp => /[\\/\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}\u206a-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e007f}]/gu
/** PATH_MAX leaves room for the directory that it goes into. */
const PATH_BYTES = 3000
const DEPTH_MAX = 100

/**
 * The path below a new directory that an archive names: its components, each one name. Hidden files stay hidden: the
 * directory is theirs. Undefined for what leads elsewhere: absolute, `..`, NUL, or longer and deeper than any honest path.
 */
export function safePath(path: string): string[] | undefined {
  if (path.startsWith('/') || path.includes('\0') || Buffer.byteLength(path) > PATH_BYTES) return undefined
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.length > DEPTH_MAX || names.includes('..')) return undefined
  return names.map((name) => cutBytes(name.replace(unshowable(), '_'), COMPONENT_MAX))
}

/**
 * True if a symbolic link in a directory `depth` below the top of a tree stays in it, wherever other such links there
 * lead: `..` only at its beginning and not above the top. Behind a name it could leave by way of another link.
 */
export function staysInside(target: string, depth: number): boolean {
  if (target === '' || target.startsWith('/') || target.includes('\0') || Buffer.byteLength(target) > PATH_BYTES) return false
  const names = target.split('/').filter((name) => name !== '' && name !== '.')
  const up = names.findIndex((name) => name !== '..')
  const ups = up < 0 ? names.length : up
  return ups <= depth && !names.slice(ups).includes('..')
}

/** A safe file name made of `name`; `file` if nothing is left of it. Idempotent. */
export function safeName(name: string | undefined): string {
  let safe = (name ?? '').replace(unsafe(), '_').normalize('NFC').replace(unsafe(), '_')
  safe = trim(safe)
  safe = fit(DEVICE.test(safe) ? `_${safe}` : safe, COMPONENT_MAX - NUMBER_ROOM)
  if (/^[._\s]*$/u.test(safe)) safe = safe.replace(/[^_]/gu, '') === '' ? 'file' : safe.replace(/[^_]/gu, '_')
  return safe
}

/** No leading dot (hidden), dash (an option) or blank; no trailing dot or blank (Windows drops them). */
function trim(name: string): string {
  return name
    .replace(/^\s+/u, '')
    .replace(/[.\s]+$/u, '')
    .replace(/^[.-]/, '_')
}

function fit(name: string, bytes: number): string {
  if (Buffer.byteLength(name) <= bytes) return name
  const { stem, extension } = split(name)
  return cutBytes(stem, bytes - Buffer.byteLength(extension)).replace(/[.\s]+$/u, '') + extension
}

function split(name: string): { stem: string; extension: string } {
  const [extension = ''] = EXTENSION.exec(name) ?? []
  return { stem: name.slice(0, name.length - extension.length), extension }
}

/** The nth choice of a name that is taken: `photo.jpg`, `photo-1.jpg`, `photo-2.jpg`; `safe` comes from safeName. */
export function numberedName(safe: string, nth: number): string {
  if (nth === 0) return safe
  const { stem, extension } = split(safe)
  return `${stem}-${nth}${extension}`
}
