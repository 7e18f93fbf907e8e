// The media type of a file: what its bytes say counts, the name where they say nothing.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { START, typeOfFile } from '../lib/wire/filetype.ts'

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))
const PNG = bytes('\x89PNG\r\n\x1a\n\0\0\0\rIHDR')
const JPEG = bytes('\xff\xd8\xff\xe0\0\x10JFIF')

test('an image is known by its bytes, whatever it is called', () => {
  for (const name of ['a.png', 'a.jpg', 'a.txt', 'a', 'a.zip']) {
    assert.is(typeOfFile(name, PNG), 'image/png', name)
    assert.is(typeOfFile(name, JPEG), 'image/jpeg', name)
  }
  for (const [start, type] of [
    ['GIF89a', 'image/gif'], ['RIFF\x10\0\0\0WEBPVP8 ', 'image/webp'], ['BM\x10\0\0\0\0\0\0\0', 'image/bmp'],
    ['\0\0\0\x1cftypavif', 'image/avif'], ['\0\0\0\x18ftypheic', 'image/heic'], ['II*\0\x08', 'image/tiff'],
  ] as const) assert.is(typeOfFile('x', bytes(start)), type)
})

test('what is called an image and is none is no image, but for those without a beginning of their own', () => {
  assert.is(typeOfFile('a.png', bytes('<html>')), 'application/octet-stream')
  assert.is(typeOfFile('a.svg', bytes('<svg xmlns=')), 'image/svg+xml')
  assert.is(typeOfFile('a.png', new Uint8Array(0)), 'image/png', 'nothing says otherwise')
})

test('a container is what its name says, if that is of its family', () => {
  const zip = bytes('PK\x03\x04\x14\0')
  assert.is(typeOfFile('a.docx', zip), 'application/vnd.openxmlformats-officedocument.wordprocessingml.document')
  assert.is(typeOfFile('a', zip), 'application/zip')
  assert.is(typeOfFile('a.png', zip), 'application/zip')
  assert.is(typeOfFile('a.m4a', bytes('\0\0\0\x18ftypM4A ')), 'audio/mp4')
  assert.is(typeOfFile('a', bytes('\0\0\0\x18ftypisom')), 'video/mp4')
  assert.is(typeOfFile('a.mkv', bytes('\x1aE\xdf\xa3')), 'video/x-matroska')
  const tar = new Uint8Array(512)
  tar.set(bytes('ustar'), 257)
  assert.is(typeOfFile('backup', tar), 'application/x-tar')
  assert.ok(START >= 262)
})

test('text and what nobody knows goes by its name', () => {
  assert.is(typeOfFile('a.md', bytes('# hi\n')), 'text/markdown')
  assert.is(typeOfFile('a.xyz', bytes('hello')), 'application/octet-stream')
  assert.is(typeOfFile('a.jpg.txt', bytes('hello')), 'text/plain')
})

test.run()
