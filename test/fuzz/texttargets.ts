// Targets: texts of others. Headers of messages and lines of NDJSON as strict JSON, tokens in a mail, addresses, names,
// and whatever is printed.

import fc from 'fast-check'

import { fromUtf8, utf8 } from '../../lib/base/bytes.ts'
import { parseDuration, parseSize, parseTime, printable, printableLines, quote } from '../../lib/base/text.ts'
import { nodeSuite } from '../../lib/crypto/suite-node.ts'
import { parseLine, parseOrder } from '../../lib/delivery/letters.ts'
import { lines } from '../../lib/edge/input.ts'
import { classOf, formatAddress, parseAddress } from '../../lib/wire/address.ts'
import { decodeHead, encodeHead, HEAD_FIXED, headLength, type Header, mediaType, parseHeader } from '../../lib/wire/envelope.ts'
import { numberedName, safeName } from '../../lib/wire/filename.ts'
import { findToken } from '../../lib/wire/findtoken.ts'
import { formatIp, parseIp } from '../../lib/wire/ip.ts'
import { decodeWords, headerText, parameter, parseStructured, textHeader } from '../../lib/wire/mimeword.ts'
import { parseMessageId, parseMessageRef } from '../../lib/wire/msgref.ts'
import { parseStrict } from '../../lib/wire/strictjson.ts'
import { formatToken, parseToken } from '../../lib/wire/token.ts'
import { corpus, DANGEROUS, everyText, jsonFiles } from '../corpus.ts'
import { holds, same, taken, type Target } from './target.ts'
import { each, sample, TOKEN_WORDS, tokens } from './wiretargets.ts'

/** Bytes as text: strictly where they are UTF-8, else one character a byte. */
function textOf(input: Uint8Array): string {
  return taken(() => fromUtf8(input))?.value ?? Buffer.from(input).toString('latin1')
}

const JSON_WORDS = ['"', '\\', '\\u', '\\ud83d\\ude00', '\\ud800', '[', '{', '}', ']', ':', ',', 'true', 'null', '1e999', '-0', '1e5', '"parts":', '"__proto__":', '"size":']
const HEADER_WORDS = [...JSON_WORDS, '"type":"text/plain"', '"name":', '"subject":', '"reply":', '"reaction":', '"edit":', '"auto":true', '9007199254740993', 'a'.repeat(64)]

const headers: fc.Arbitrary<Header> = fc
  .record(
    {
      parts: fc.array(fc.record({ type: fc.constantFrom('text/plain', 'image/png', 'x'), size: fc.nat(9999) }), { minLength: 1, maxLength: 4 }),
      subject: fc.string({ unit: 'grapheme', maxLength: 30 }),
      reply: fc.constant('0123456789abcdef'.repeat(4)),
      reaction: fc.constantFrom('👍', ''),
      edit: fc.constant('f'.repeat(64)),
      auto: fc.constant(true),
    },
    { requiredKeys: ['parts'] },
  )

const header: Target = {
  name: 'header',
  max: 20_000,
  words: HEADER_WORDS,
  code: /\/lib\/wire\/(?:strictjson|envelope)\.ts$/,
  seeds: (seed) => [
    ...sample(headers, seed).map((value) => utf8(JSON.stringify(value))),
    ...corpus('header_json', 'header_json_taken').map(utf8),
    ...jsonFiles().map(([, bytes]) => bytes),
  ],
  run(input) {
    const strict = taken(() => parseStrict(input, { depth: 4, size: 16_384 }))
    if (strict !== undefined) {
      // whatever is taken means the same to the usual parser
      same(strict.value, JSON.parse(fromUtf8(input)), 'the value')
      const text = JSON.stringify(strict.value)
      const again = taken(() => parseStrict(text, { depth: 4, size: 1 << 20 })) // not 907199254740993e1, which is whole then
      if (again !== undefined) same(again.value, JSON.parse(text), 'the value, written again')
    }
    const parsed = taken(() => parseHeader(input))
    if (parsed === undefined) return false
    same(parseHeader(utf8(JSON.stringify(parsed.value))), parsed.value, 'the header, written again')
    for (const { type, name } of parsed.value.parts) {
      holds(/^[!-~]+\/[!-~]+$/.test(mediaType(type)), 'a media type')
      holds(!/[/\0]/.test(safeName(name)), 'a file name')
    }
    return true
  },
}

const envelope: Target = {
  name: 'envelope',
  max: 20_000,
  words: ['p2pm\x01', ...HEADER_WORDS, new Uint8Array(8), new Uint8Array(32)],
  code: /\/lib\/wire\/(?:strictjson|envelope)\.ts$/,
  seeds: (seed) =>
    sample(headers, seed).map((value) => encodeHead({ salt: new Uint8Array(16), from: new Uint8Array(32), to: new Uint8Array(32), created: 1n, root: new Uint8Array(32), header: value }, nodeSuite).bytes),
  run(raw) {
    // the length of the header is made right, or nearly nothing would be read behind it
    const input = raw
    if (raw.length > HEAD_FIXED && (raw[5] ?? 0) < 200) {
      input[HEAD_FIXED - 2] = (raw.length - HEAD_FIXED) >> 8
      input[HEAD_FIXED - 1] = (raw.length - HEAD_FIXED) & 0xff
    }
    const length = taken(() => headLength(input))
    const decoded = taken(() => decodeHead(input, nodeSuite))
    if (decoded === undefined) return false
    same(length?.value, input.length, 'the length told by the beginning')
    const again = encodeHead(decoded.value, nodeSuite)
    same({ ...again, bytes: 0, id: 0 }, { ...decoded.value, bytes: 0, id: 0 }, 'the fields, encoded again')
    return true
  },
}

const ndjson: Target = {
  name: 'ndjson',
  max: 120_000,
  words: [...JSON_WORDS, '\n', '\r\n', '"to":"bob"', '"text":"hi"', '"file":["a"]', '"expires":"2d"', '"replace":"df"', '"ref":'],
  code: /\/lib\/(?:wire\/strictjson|delivery\/letters|edge\/input|base\/text)\.ts$/,
  seeds: () => [utf8('{"to":"bob","text":"hi"}\n{"to":["bob","eve"],"file":"pic.png","expires":"2d","replace":"df"}\n{"reply":"a","reaction":"x"}')],
  async run(input) {
    let good = 0
    let total = 0
    const copy: Uint8Array[] = []
    for await (const { bytes, tooLong } of lines(each(input), 100_000)) {
      copy.push(bytes)
      total += bytes.length + 1
      if (tooLong) total = NaN
      const object = taken(() => parseLine(bytes))
      if (object === undefined) continue
      same(object.value, JSON.parse(fromUtf8(bytes)), 'the record')
      if (taken(() => parseOrder(object.value, 1e12)) !== undefined) good++
    }
    if (!Number.isNaN(total)) holds(total === input.length || total === input.length + 1 || input.length === 0, 'lines make up the input')
    return good > 0
  },
}

const tokentext: Target = {
  name: 'tokentext',
  max: 66_000,
  words: TOKEN_WORDS,
  code: /\/lib\/(?:wire\/(?:token|findtoken)|base\/key)\.ts$/,
  async seeds(seed) {
    const texts = (await tokens(seed, 8)).map(formatToken)
    const broken = texts.map((text) => `Hi!\n\n> ${text.replace(/.{60}/g, '$&\n> ')}\n\nbye`)
    return [...texts, ...broken].map(utf8)
  },
  run(input) {
    const text = textOf(input)
    const one = taken(() => parseToken(text))
    if (one !== undefined) same(formatToken(one.value), text.trim(), 'the text of the token')
    const found = taken(() => findToken(text))
    return found !== undefined
  },
}

const address: Target = {
  name: 'address',
  max: 400,
  words: ['::', ':', '[', ']', '.', '%eth0', '127.0.0.1', '0x7f', 'example.org', 'é', '::ffff:', '65535', '65536'],
  code: /\/lib\/wire\/(?:address|ip)\.ts$/,
  seeds: () => ['192.0.2.1:80', '[2001:db8::1]:80', '2001:db8::1', 'example.org:9', 'ExAmple.ORG', '::ffff:1.2.3.4', '::1'].map(utf8),
  run(input) {
    const text = textOf(input)
    const ip = parseIp(text)
    if (ip !== undefined) same(parseIp(formatIp(ip)), ip, 'the bytes of the address')
    const parsed = taken(() => parseAddress(text, 9))
    if (parsed === undefined) return false
    same(parseAddress(formatAddress(parsed.value), 1), parsed.value, 'the address, written again')
    classOf(parsed.value)
    return true
  },
}

const words: Target = {
  name: 'words',
  max: 20_000,
  words: ['=?utf-8?B?', '=?utf-8?Q?', '?=', '=?iso-8859-1?q?', "utf-8''", '%', '; name*0*=', '; name="', '\\"', ';', ' = ', '\r\n ', '\u202e', '\x1b[2J', 'con', '..', '/', '2026-01-31T00:00:00Z', '1e9d', '@', '<', '@p2p.invalid>'],
  code: /\/lib\/(?:wire\/(?:mimeword|filename|msgref)|base\/text)\.ts$/,
  seeds: () => [...everyText(), 'attachment; filename*0*=utf-8\'\'a%20b; filename*1="c d"; size=9', '=?utf-8?B?w6k=?= =?utf-8?Q?=C3=A9?=', '5m', '10k', '@3'].map(utf8),
  run(input) {
    const text = textOf(input)
    for (const shown of [printable(text), quote(text)]) holds(!DANGEROUS.test(shown) && !/[\t\n]/.test(shown), 'printable')
    holds(!DANGEROUS.test(printableLines(text)), 'printable lines')
    const name = safeName(text)
    same(safeName(name), name, 'a safe name, made safe again')
    holds(name !== '' && !/^\.|[/\0]/.test(name) && Buffer.byteLength(numberedName(name, 999_999)) <= 255, 'a safe name')
    decodeWords(text)
    parseStructured(text)
    const subject = headerText(text, 2048)
    for (const line of textHeader('Subject', subject).split('\n').slice(1)) holds(/^ [ -~]{0,77}$/.test(line), 'a folded line')
    holds(/^(?:;\n [ -~]{1,78})+$/.test(parameter('filename', subject)), 'a parameter')
    const tried: (() => unknown)[] = [() => parseDuration(text), () => parseSize(text), () => parseTime(text, 1e12), () => parseMessageRef(text), () => parseMessageId(text)]
    return tried.map((parse) => taken(parse)).some((one) => one !== undefined)
  },
}

export const TEXT: Target[] = [header, envelope, ndjson, tokentext, address, words]

