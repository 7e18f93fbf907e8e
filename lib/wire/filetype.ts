// The media type of a file: by its first bytes where they tell it, else by its name. A claim for the receiver's
// convenience: nobody relies on it.

import { OCTETS } from './envelope.ts'

const TYPES: Record<string, string> = {
  aac: 'audio/aac',
  avif: 'image/avif',
  bmp: 'image/bmp',
  bz2: 'application/x-bzip2',
  c: 'text/x-c',
  conf: 'text/plain',
  css: 'text/css',
  csv: 'text/csv',
  deb: 'application/vnd.debian.binary-package',
  diff: 'text/x-diff',
  doc: 'application/msword',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  epub: 'application/epub+zip',
  flac: 'audio/flac',
  gif: 'image/gif',
  gz: 'application/gzip',
  heic: 'image/heic',
  htm: 'text/html',
  html: 'text/html',
  ics: 'text/calendar',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: 'text/javascript',
  json: 'application/json',
  log: 'text/plain',
  m4a: 'audio/mp4',
  md: 'text/markdown',
  mkv: 'video/x-matroska',
  mov: 'video/quicktime',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  odp: 'application/vnd.oasis.opendocument.presentation',
  ods: 'application/vnd.oasis.opendocument.spreadsheet',
  odt: 'application/vnd.oasis.opendocument.text',
  oga: 'audio/ogg',
  ogg: 'audio/ogg',
  opus: 'audio/ogg',
  patch: 'text/x-diff',
  pdf: 'application/pdf',
  png: 'image/png',
  ppt: 'application/vnd.ms-powerpoint',
  pptx: 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
  py: 'text/x-python',
  rtf: 'application/rtf',
  sh: 'application/x-sh',
  svg: 'image/svg+xml',
  tar: 'application/x-tar',
  tif: 'image/tiff',
  tiff: 'image/tiff',
  ts: 'text/plain',
  txt: 'text/plain',
  vcf: 'text/vcard',
  wav: 'audio/wav',
  webm: 'video/webm',
  webp: 'image/webp',
  xls: 'application/vnd.ms-excel',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  xml: 'application/xml',
  xz: 'application/x-xz',
  zip: 'application/zip',
  zst: 'application/zstd',
}

/** By the last extension, ignoring case; application/octet-stream for any other. */
export function typeOfName(name: string): string {
  const extension = /\.([0-9a-z]{1,8})$/i.exec(name)?.[1]?.toLowerCase() ?? ''
  return Object.hasOwn(TYPES, extension) ? (TYPES[extension] as string) : OCTETS
}

/** Bytes from the start of a file that typeOf() may look at. */
export const START = 560

/** What files begin with: bytes at an offset, and the type. Where `family` is given, a name of that family says more. */
const SIGNATURES: { at?: number; bytes: string; also?: [number, string]; type: string; family?: RegExp }[] = [
  { bytes: '\x89PNG\r\n\x1a\n', type: 'image/png' },
  { bytes: '\xff\xd8\xff', type: 'image/jpeg' },
  { bytes: 'GIF87a', type: 'image/gif' },
  { bytes: 'GIF89a', type: 'image/gif' },
  { bytes: 'RIFF', also: [8, 'WEBP'], type: 'image/webp' },
  { bytes: 'RIFF', also: [8, 'WAVE'], type: 'audio/wav' },
  { bytes: 'II*\0', type: 'image/tiff', family: /^image\// },
  { bytes: 'MM\0*', type: 'image/tiff', family: /^image\// },
  { bytes: 'BM', also: [6, '\0\0\0\0'], type: 'image/bmp' },
  { at: 4, bytes: 'ftypavif', type: 'image/avif' },
  { at: 4, bytes: 'ftypavis', type: 'image/avif' },
  { at: 4, bytes: 'ftyphei', type: 'image/heic' },
  { at: 4, bytes: 'ftyphev', type: 'image/heic' },
  { at: 4, bytes: 'ftypmif1', type: 'image/heic' },
  { at: 4, bytes: 'ftypqt', type: 'video/quicktime' },
  { at: 4, bytes: 'ftyp', type: 'video/mp4', family: /^(?:audio|video)\/|^image\/(?:heic|avif)$/ },
  { bytes: '\x1aE\xdf\xa3', type: 'video/webm', family: /^(?:audio|video)\// },
  { bytes: 'OggS', type: 'audio/ogg', family: /^(?:audio|video)\// },
  { bytes: 'fLaC', type: 'audio/flac' },
  { bytes: 'ID3', type: 'audio/mpeg', family: /^audio\// },
  { bytes: '%PDF-', type: 'application/pdf' },
  { bytes: 'PK\x03\x04', type: 'application/zip', family: /^application\// },
  { bytes: '\x1f\x8b', type: 'application/gzip', family: /^application\// },
  { bytes: 'BZh', type: 'application/x-bzip2' },
  { bytes: '\xfd7zXZ\0', type: 'application/x-xz' },
  { bytes: '(\xb5/\xfd', type: 'application/zstd' },
  { at: 257, bytes: 'ustar', type: 'application/x-tar' },
]

/** Images that do not begin with bytes of their own. */
const UNSIGNED = /^image\/svg\+xml$/

/**
 * The type of a file of this name that starts with these bytes. A name counts only as far as the bytes do not say
 * otherwise: what is called an image and begins like none is no image.
 */
export function typeOfFile(name: string, start: Uint8Array): string {
  const named = typeOfName(name)
  const text = Buffer.from(start.buffer, start.byteOffset, Math.min(start.length, START)).toString('latin1')
  for (const { at = 0, bytes, also, type, family } of SIGNATURES) {
    if (!text.startsWith(bytes, at) || (also !== undefined && !text.startsWith(also[1], also[0]))) continue
    return family?.test(named) === true && named !== OCTETS ? named : type
  }
  return named.startsWith('image/') && !UNSIGNED.test(named) && start.length > 0 ? OCTETS : named
}
