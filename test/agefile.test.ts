// The identity at rest: age files that others open and theirs that we open, what is refused and how, and the text
// inside.

import { execFileSync, spawnSync } from 'node:child_process'
import { scryptSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient, Stanza } from 'age-encryption'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, fromUtf8, utf8 } from '../lib/base/bytes.ts'
import { Failure, Malformed } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { decodeIdentity, decryptWithPassphrase, encodeIdentity, encryptWithPassphrase } from '../lib/crypto/agefile.ts'
import { skipped } from './vectors.ts'

const PASSPHRASE = 'correct horse'
const LOG_N = 2 // quick; the work factor has its own tests

async function outcome(file: Uint8Array, passphrase: string): Promise<'opened' | 'wrong' | 'malformed'> {
  try {
    await decryptWithPassphrase(file, utf8(passphrase))
    return 'opened'
  } catch (error) {
    if (error instanceof Malformed) return 'malformed'
    if (error instanceof Failure && error.exit === 77 && error.message === 'wrong passphrase') return 'wrong'
    throw error
  }
}

test('any bytes come back with their passphrase, at sizes around the 64 KiB chunks of age', async () => {
  for (const size of [0, 1, 100, 65_535, 65_536, 65_537, 131_072]) {
    const bytes = systemRandom.bytes(size)
    const file = await encryptWithPassphrase(bytes, utf8(PASSPHRASE), LOG_N)
    assert.equal(await decryptWithPassphrase(file, utf8(PASSPHRASE)), bytes, `${size} bytes`)
  }
})

test('the header is age v1 with one scrypt stanza of the wanted work factor, 18 by default', async () => {
  for (const [logN, file] of [
    [5, await encryptWithPassphrase(utf8('x'), utf8(PASSPHRASE), 5)],
    [18, await encryptWithPassphrase(utf8('x'), utf8(PASSPHRASE))],
  ] as const) {
    const [version, stanza, body, mac] = Buffer.from(file).toString('latin1').split('\n')
    assert.is(version, 'age-encryption.org/v1')
    assert.match(stanza ?? '', new RegExp(`^-> scrypt [A-Za-z0-9+/]{22} ${logN}$`))
    assert.match(body ?? '', /^[A-Za-z0-9+/]{43}$/)
    assert.match(mac ?? '', /^--- [A-Za-z0-9+/]{43}$/)
    assert.is(await outcome(file, PASSPHRASE), 'opened')
  }
})

test('the salt comes from the given source and no two files are alike', async () => {
  const random = { bytes: (size: number) => new Uint8Array(size).fill(1) }
  const [one, two] = await Promise.all(
    [1, 2].map(() => encryptWithPassphrase(utf8('x'), utf8(PASSPHRASE), LOG_N, random)),
  )
  assert.match(Buffer.from(one ?? []).toString('latin1'), /-> scrypt AQEBAQEBAQEBAQEBAQEBAQ 2\n/)
  assert.not.equal(one, two)
})

test('the age-encryption package opens ours, and we open its', async () => {
  const bytes = utf8('across')
  const decrypter = new Decrypter()
  decrypter.addPassphrase(PASSPHRASE)
  assert.equal(await decrypter.decrypt(await encryptWithPassphrase(bytes, utf8(PASSPHRASE), LOG_N)), bytes)
  const encrypter = new Encrypter()
  encrypter.setPassphrase(PASSPHRASE)
  encrypter.setScryptWorkFactor(LOG_N)
  assert.equal(await decryptWithPassphrase(await encrypter.encrypt(bytes), utf8(PASSPHRASE)), bytes)
})

test('a passphrase is the bytes of its UTF-8, spaces included', async () => {
  const file = await encryptWithPassphrase(utf8('x'), utf8(' Grüße  '), LOG_N)
  assert.is(await outcome(file, ' Grüße  '), 'opened')
  for (const other of ['Grüße', ' Grüße ', ' Gru\u0308ße  ', '']) assert.is(await outcome(file, other), 'wrong')
})

test('a wrong passphrase is 77; a cut, longer or flipped file is damaged; neither ever opens', async () => {
  const file = await encryptWithPassphrase(utf8('secret text'), utf8(PASSPHRASE), LOG_N)
  assert.is(await outcome(file, 'Correct horse'), 'wrong')
  for (let size = 0; size < file.length; size++) {
    assert.is(await outcome(file.subarray(0, size), PASSPHRASE), 'malformed', `${size} bytes`)
  }
  assert.is(await outcome(concat(file, Uint8Array.of(0)), PASSPHRASE), 'malformed')
  for (let at = 0; at < file.length; at++) {
    const bent = new Uint8Array(file)
    bent[at]! ^= 1
    assert.is.not(await outcome(bent, PASSPHRASE), 'opened', `byte ${at}`)
  }
  const payload = new Uint8Array(file)
  payload[payload.length - 1]! ^= 1
  assert.is(await outcome(payload, PASSPHRASE), 'malformed')
})

test('what is no age file for a passphrase is malformed', async () => {
  const recipient = new Encrypter()
  recipient.addRecipient(await identityToRecipient(await generateX25519Identity()))
  const good = Buffer.from(await encryptWithPassphrase(utf8('x'), utf8(PASSPHRASE), LOG_N))
  const text = good.toString('latin1')
  const stanza = /-> scrypt .*\n.*\n/.exec(text)?.[0] ?? ''
  const bend = (from: string | RegExp, to: string) => new Uint8Array(Buffer.from(text.replace(from, to), 'latin1'))
  const files: [name: string, file: Uint8Array][] = [
    ['to a key', await recipient.encrypt(utf8('x'))],
    ['text', utf8('P2P-SECRET-KEY-1abc\n')],
    ['zeros', new Uint8Array(1000)],
    ['version 2', bend('.org/v1', '.org/v2')],
    ['two stanzas', bend(stanza, stanza + stanza)],
    ['no work factor', bend(/ 2\n/, '\n')],
    ['work factor 02', bend(/ 2\n/, ' 02\n')],
    ['work factor 0', bend(/ 2\n/, ' 0\n')],
    ['work factor 21', bend(/ 2\n/, ' 21\n')],
    ['work factor 64', bend(/ 2\n/, ' 64\n')],
    ['short salt', bend(/scrypt ..../, 'scrypt ')],
    ['salt that is no base64', bend(/scrypt ./, 'scrypt *')],
    ['another kind of stanza', bend('-> scrypt', '-> scrypz')],
  ]
  for (const [name, file] of files) assert.is(await outcome(file, PASSPHRASE), 'malformed', name)
})

/** A file whose header is authentic, with the stanzas that `make` makes of a good scrypt stanza. */
function crafted(make: (good: Stanza) => Stanza[]): Promise<Uint8Array> {
  const encrypter = new Encrypter()
  encrypter.addRecipient({
    wrapFileKey(fileKey) {
      const salt = Buffer.concat([Buffer.from('age-encryption.org/v1/scrypt'), Buffer.alloc(16)])
      const key = new Uint8Array(scryptSync(PASSPHRASE, salt, 32, { N: 4, r: 8, p: 1 }))
      const body = chacha20poly1305(key, new Uint8Array(12)).encrypt(fileKey)
      return make(new Stanza(['scrypt', 'A'.repeat(22), '2'], body))
    },
  })
  return encrypter.encrypt(utf8('x'))
}

test('an authentic header is no excuse for a stanza that is not canonical', async () => {
  assert.is(await outcome(await crafted((good) => [good]), PASSPHRASE), 'opened')
  const table: [name: string, make: (good: Stanza) => Stanza[]][] = [
    ['two scrypt stanzas', (good) => [good, good]],
    ['an unknown stanza after it', (good) => [good, new Stanza(['grease'], new Uint8Array(0))]],
    ['an unknown stanza before it', (good) => [new Stanza(['grease'], new Uint8Array(0)), good]],
    ['a work factor with a zero', ({ body }) => [new Stanza(['scrypt', 'A'.repeat(22), '02'], body)]],
    ['a work factor with a plus', ({ body }) => [new Stanza(['scrypt', 'A'.repeat(22), '+2'], body)]],
    ['a salt with bits left over', ({ body }) => [new Stanza(['scrypt', `${'A'.repeat(21)}B`, '2'], body)]],
    ['a salt with padding', ({ body }) => [new Stanza(['scrypt', `${'A'.repeat(22)}==`, '2'], body)]],
    ['an argument more', ({ body }) => [new Stanza(['scrypt', 'A'.repeat(22), '2', 'x'], body)]],
    ['a body too short', ({ args, body }) => [new Stanza(args, body.subarray(1))]],
  ]
  for (const [name, make] of table) assert.is(await outcome(await crafted(make), PASSPHRASE), 'malformed', name)
})

test('foreign bytes of any kind are malformed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, headed) => {
      const file = headed ? concat(utf8('age-encryption.org/v1\n-> scrypt '), bytes) : bytes
      assert.is(await outcome(file, PASSPHRASE), 'malformed')
    }),
    { numRuns: 200 },
  )
})

test('a work factor is 1 to 20', async () => {
  for (const logN of [0, 21, 1.5, NaN]) {
    try {
      await encryptWithPassphrase(utf8('x'), utf8(PASSPHRASE), logN)
      assert.unreachable()
    } catch (error) {
      assert.instance(error, RangeError)
    }
  }
})

// age asks on the terminal only: python's pty gives it one.
const ON_A_TERMINAL = `
import os, pty, sys
reply = sys.argv[1].encode() + b'\\n'
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
asked = b''
replies = 0
while True:
    try:
        got = os.read(terminal, 4096)
    except OSError:
        break
    if not got:
        break
    asked += got
    while asked.count(b'passphrase') > replies and asked.rstrip().endswith(b':'):
        replies += 1
        os.write(terminal, reply)
        asked = b'passphrase' * replies
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

const absent = [['age', '--version'], ['python3', '--version']].filter(
  ([name = '', ...args]) => spawnSync(name, args, { stdio: 'ignore' }).status !== 0,
)
if (absent.length > 0) {
  skipped(`no ${absent.map(([name]) => name).join(', no ')}: our files are not opened with age -d`)
} else {
  test('age -d opens our file, and we open what age -p wrote', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'p2p-age-'))
    try {
      const [ours, clear, theirs] = ['ours.age', 'clear', 'theirs.age'].map((name) => join(dir, name)) as [
        string,
        string,
        string,
      ]
      const run = (...args: string[]) =>
        execFileSync('python3', ['-c', ON_A_TERMINAL, PASSPHRASE, 'age', ...args], { timeout: 20_000, stdio: 'pipe' })
      const secret = encodeIdentity(new Uint8Array(32).fill(9), new Uint8Array(32).fill(8))
      writeFileSync(ours, await encryptWithPassphrase(secret, utf8(PASSPHRASE), 10))
      run('-d', '-o', clear, ours)
      assert.equal(new Uint8Array(readFileSync(clear)), secret)
      run('-p', '-o', theirs, clear)
      assert.equal(await decryptWithPassphrase(new Uint8Array(readFileSync(theirs)), utf8(PASSPHRASE)), secret)
      console.log('age -d opened our file, and we opened that of age -p')
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
}

const SEED = Uint8Array.from({ length: 32 }, (_, i) => i)
const PUBLIC = new Uint8Array(32).fill(1)

test('the text of an identity is fixed: a file written today opens tomorrow', () => {
  assert.is(
    fromUtf8(encodeIdentity(SEED, PUBLIC)),
    '# p2p identity 4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi\n' +
      '# whoever has the next line can speak in this name\n' +
      'P2P-SECRET-KEY-116qJFWMMHFy3xDdLmvUeyc2S6FrWRhJP51HsvDYdz9ciRWjr\n',
  )
})

test('a seed comes back from its text, whatever comments, line ends and empty lines surround it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (seed) => {
      assert.equal(decodeIdentity(encodeIdentity(seed, PUBLIC)), seed)
    }),
  )
  const line = fromUtf8(encodeIdentity(SEED, PUBLIC)).split('\n')[2] ?? ''
  for (const text of [line, `${line}\n`, `\n# a\n\n${line}\n# b`, `# a\r\n${line}\r\n`]) {
    assert.equal(decodeIdentity(utf8(text)), SEED)
  }
})

function refusesText(text: string | Uint8Array, why: RegExp): void {
  assert.throws(
    () => decodeIdentity(typeof text === 'string' ? utf8(text) : text),
    (error: unknown) => error instanceof Malformed && why.test(error.message),
  )
}

test('any other text is refused with a reason', () => {
  const line = fromUtf8(encodeIdentity(SEED, PUBLIC)).split('\n')[2] ?? ''
  refusesText('', /without one/)
  refusesText('# only a comment\n', /without one/)
  refusesText(`${line}\n${line}\n`, /without one/)
  refusesText(` ${line}`, /without one/)
  refusesText(line.toLowerCase(), /without one/)
  refusesText('AGE-SECRET-KEY-1ABC', /without one/)
  refusesText('P2P-SECRET-KEY-1', /wrong length/)
  refusesText(line.slice(0, -1), /wrong length|typing error/)
  refusesText(`${line}1`, /wrong length|typing error/)
  refusesText(`${line}0`, /base58/)
  refusesText(`${line}${'z'.repeat(100)}`, /too long/)
  refusesText('#'.repeat(4097), /too long/)
  refusesText(Uint8Array.of(0xff, 0xfe), /UTF-8/)
  for (let at = 'P2P-SECRET-KEY-1'.length; at < line.length; at++) {
    const other = line[at] === 'x' ? 'y' : 'x'
    refusesText(line.slice(0, at) + other + line.slice(at + 1), /wrong length|typing error/)
  }
  assert.throws(() => encodeIdentity(new Uint8Array(31), PUBLIC), /seed is not 32 bytes/)
})

test.run()
