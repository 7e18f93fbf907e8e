// The passphrase of the identity: changed, taken away and given, over files, descriptors and a terminal; wrong ones; and
// a process killed at every step, which must leave one identity file that opens.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex, utf8 } from '../lib/base/bytes.ts'
import { Failure } from '../lib/base/fail.ts'
import { encryptWithPassphrase } from '../lib/crypto/agefile.ts'
import { publicKeyOf } from '../lib/crypto/ed25519.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { type Doors, type Home, openHome, realDoors } from '../lib/disk/home.ts'
import { createIdentity } from '../lib/disk/identity.ts'
import { loadSelf } from '../lib/disk/self.ts'
import { changePassphrase, openSeed } from '../lib/disk/identityfile.ts'
import { argvOf, type Ran, runCommand } from './command.ts'
import { mortal } from './mortal.ts'
import { skipped } from './vectors.ts'

const LOG_N = 2 // quick; one test takes the real one
const NOT_ASKED = (): Promise<never> => Promise.reject(new Error('asked'))

let place = ''
let homes = 0

async function plainHome(): Promise<Home> {
  const fields = { name: 'alice', port: 4000, addresses: [], passphrase: undefined }
  const location = { path: `${place}/h${homes++}`, source: 'test' }
  return (await createIdentity(location, fields, nodeSuite, realDoors)).home
}

/** A home whose identity opens with this passphrase, or with none. */
async function homeOf(passphrase: string | undefined): Promise<Home> {
  const home = await plainHome()
  await change(home, undefined, passphrase)
  return home
}

function change(home: Home, old: string | undefined, fresh: string | undefined): Promise<boolean> {
  const given = async (): Promise<Uint8Array | undefined> => (fresh === undefined ? undefined : utf8(fresh))
  return changePassphrase(home, { old: old === undefined ? NOT_ASKED : async () => utf8(old), fresh: given }, LOG_N)
}

/** True if the identity opens and is the one of the token. */
async function opens(home: Home, passphrase: string | undefined): Promise<boolean> {
  try {
    const seed = await openSeed(home, async () => utf8(passphrase ?? 'none'))
    return hex(await publicKeyOf(seed)) === hex((await loadSelf(home)).identity)
  } catch (error) {
    if (error instanceof Failure && error.exit === 77) return false
    throw error
  }
}

const identities = (home: Home): string[] => readdirSync(home.path).filter((name) => name.startsWith('identity.'))

function asking(home: string, ...args: string[]): Promise<Ran> {
  return runCommand('p2p-id', args, { home })
}

test.before(async () => {
  place = await mkdtemp(`${tmpdir()}/p2p-passwd-`)
  for (const [name, text] of [['a', 'sesame\n'], ['b', 'open up\n'], ['wrong', 'nobody\n'], ['empty', '\n']] as const) {
    writeFileSync(`${place}/${name}`, text, { mode: 0o600 })
  }
})

test.after(async () => {
  await rm(place, { recursive: true })
})

const WAYS: [string, string | undefined, string | undefined, string][] = [
  ['plain to sealed', undefined, 'one', 'identity.age'],
  ['sealed to sealed', 'one', 'two', 'identity.age'],
  ['sealed to plain', 'one', undefined, 'identity.key'],
  ['plain to plain', undefined, undefined, 'identity.key'],
]

test('the identity goes from any form to any other, and opens only with the new passphrase', async () => {
  for (const [what, old, fresh, name] of WAYS) {
    const home = await homeOf(old)
    assert.is(await change(home, old, fresh), old !== undefined || fresh !== undefined, what)
    assert.equal(identities(home), [name], what)
    assert.is(statSync(home.at(name)).mode & 0o777, 0o600)
    assert.ok(await opens(home, fresh), what)
    if (fresh !== undefined) assert.not.ok(await opens(home, old ?? 'x'), what)
  }
})

test('killed at any step there is one identity file, it opens, and the change can be done again', async () => {
  let points = 0
  for (const [what, old, fresh, name] of WAYS) {
    for (let at = 0; ; at++) {
      const home = await homeOf(old)
      const grim = mortal(at)
      const doomed = await openHome({ flag: home.path, env: {} }, { ...realDoors, files: grim.files } satisfies Doors)
      const error = await change(doomed, old, fresh).catch((thrown: unknown) => thrown)
      const files = identities(home).filter((each) => !each.includes('.tmp.'))
      const where = `${what}, step ${at}: ${files.join(' ')}`
      assert.is(files.length, 1, where)
      assert.ok((await opens(home, old)) || (await opens(home, fresh)), where)
      if (!grim.dead) {
        assert.is(error, old !== undefined || fresh !== undefined, where)
        break
      }
      assert.ok(typeof error === 'boolean' || error instanceof Error, where) // the last steps only let go of the lock
      points++
      await change(home, (await opens(home, old)) ? old : fresh, fresh)
      assert.equal(identities(home), [name], `${where}, again`)
      assert.ok(await opens(home, fresh), where)
    }
  }
  console.log(`# killed at ${points} steps`)
  assert.ok(points > 20)
})

test('nothing of the old file and no unfinished new one is left behind', async () => {
  const home = await homeOf(undefined)
  writeFileSync(home.at('identity.key.tmp.0011aabb'), readFileSync(home.at('identity.key')))
  const secret = /P2P-SECRET-KEY-1\w+/.exec(readFileSync(home.at('identity.key'), 'utf8'))?.[0] ?? '-'
  await change(home, undefined, 'one')
  for (const name of readdirSync(home.path, { recursive: true, encoding: 'utf8' })) {
    if (statSync(home.at(name)).isFile()) assert.not.ok(readFileSync(home.at(name), 'latin1').includes(secret), name)
  }
  assert.equal(identities(home), ['identity.age'])
})

test('a file under the other name, as a crash between the renames leaves it, opens by what is in it', async () => {
  const home = await plainHome()
  writeFileSync(home.at('identity.key'), await encryptWithPassphrase(readFileSync(home.at('identity.key')), utf8('one'), LOG_N))
  assert.ok(await opens(home, 'one'))
  await change(home, 'one', 'two')
  assert.equal(identities(home), ['identity.age'])
  assert.ok(await opens(home, 'two'))
})

test('of two changes at once one is told to try again, and the other holds', async () => {
  const home = await homeOf('one')
  const results = await Promise.allSettled([change(home, 'one', 'two'), change(home, 'one', 'three')])
  const lost = results.filter((result) => result.status === 'rejected')
  assert.is(lost.length, 1)
  assert.is((lost[0]?.reason as Failure | undefined)?.exit, 75)
  assert.ok((await opens(home, 'two')) !== (await opens(home, 'three')))
  assert.equal(identities(home), ['identity.age'])
})

test('an identity that does not belong to the token is left as it is', async () => {
  const home = await plainHome()
  const other = await plainHome()
  writeFileSync(home.at('identity.key'), readFileSync(other.at('identity.key')))
  const error = await change(home, undefined, 'one').catch((thrown: unknown) => thrown)
  assert.is((error as Failure).exit, 78)
  assert.equal(identities(home), ['identity.key'])
})

test('p2p-id passwd with files and descriptors; what is wrong is 77 or 64 and changes nothing', async () => {
  const home = `${place}/commands`
  await asking(home, 'init', '--name', 'alice', '--no-passphrase')
  const key = readFileSync(`${home}/identity.key`)
  const none = await asking(home, 'passwd')
  assert.is(none.code, 77)
  assert.match(none.err, 'use --new-passphrase-file FILE or --new-passphrase-fd N')
  const both = await asking(home, 'passwd', '--no-passphrase', '--new-passphrase-file', `${place}/a`)
  assert.is(both.code, 64)
  assert.is((await asking(home, 'passwd', '--new-passphrase-file', `${place}/empty`)).code, 77)
  assert.is((await asking(home, 'passwd', '--new-passphrase-file', `${place}/absent`)).code, 66)
  const same = await asking(home, 'passwd', '--no-passphrase')
  assert.equal([same.code, same.out], [0, ''])
  assert.match(same.err, 'as before')
  assert.equal(readFileSync(`${home}/identity.key`), key)

  const sealed = await asking(home, 'passwd', '--new-passphrase-file', `${place}/a`)
  assert.equal([sealed.code, sealed.out], [0, ''], sealed.err)
  assert.match(readFileSync(`${home}/identity.age`, 'latin1'), /^age-encryption\.org\/v1\n-> scrypt \S{22} 18\n/)
  assert.not.ok(existsSync(`${home}/identity.key`))
  const old = await asking(home, 'passwd', '--no-passphrase')
  assert.is(old.code, 77)
  assert.match(old.err, 'use --passphrase-file FILE or --passphrase-fd N')
  const age = readFileSync(`${home}/identity.age`)
  const wrong = await asking(home, 'passwd', '--passphrase-file', `${place}/wrong`, '--new-passphrase-file', `${place}/b`)
  assert.equal([wrong.code, wrong.out], [77, ''])
  assert.match(wrong.err, 'wrong passphrase')
  assert.equal(readFileSync(`${home}/identity.age`), age)
  const [program = '', ...before] = argvOf('p2p-id')
  const script = '"$0" "$@" --passphrase-fd 5 --new-passphrase-fd 6 5<"$A" 6<"$B"'
  const args = ['-c', script, program, ...before, 'passwd', '--home', home]
  const fds = spawnSync('sh', args, { env: { A: `${place}/a`, B: `${place}/b` }, encoding: 'utf8' })
  assert.is(fds.status, 0, fds.stderr)
  const back = await asking(home, 'passwd', '-q', '--passphrase-file', `${place}/b`, '--no-passphrase')
  assert.equal([back.code, back.out, back.err], [0, '', ''])
  assert.equal(readFileSync(`${home}/identity.key`), key)
})

// Runs a command on a terminal of its own and answers its questions, one each time one is asked.
const ON_A_TERMINAL = `
import os, pty, sys
answers = sys.argv[1].encode().split(b'|')
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
said = b''
try:
    while True:
        piece = os.read(terminal, 1000)
        if not piece: break
        said += piece
        if answers and piece.rstrip(b' ').endswith(b':'):
            os.write(terminal, answers.pop(0) + b'\\n')
except OSError:
    pass
os.write(1, said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

test('on a terminal the old one is asked once and the new one twice, and nothing is shown', async () => {
  if (spawnSync('python3', ['--version']).status !== 0) return skipped('no python3')
  const home = await plainHome()
  const typed = (answers: string): { code: number | null; said: string } => {
    const args = ['-c', ON_A_TERMINAL, answers, ...argvOf('p2p-id'), 'passwd', '--home', home.path]
    const ran = spawnSync('python3', args, { encoding: 'utf8', timeout: 60_000 })
    return { code: ran.status, said: ran.stdout + ran.stderr }
  }
  const differ = typed('sesame|sesam')
  assert.is(differ.code, 77, differ.said)
  assert.match(differ.said, 'the two passphrases differ')
  assert.equal(identities(home), ['identity.key'])
  const first = typed('sesame|sesame')
  assert.is(first.code, 0, first.said)
  assert.match(first.said, /new passphrase: \r?\nnew passphrase again: \r?\n/)
  assert.not.match(first.said, 'sesame')
  const wrong = typed('open|x|x')
  assert.is(wrong.code, 77, wrong.said)
  assert.match(wrong.said, /old passphrase: \r?\n/)
  assert.not.match(wrong.said, 'new passphrase')
  const second = typed('sesame|x|x')
  assert.is(second.code, 0, second.said)
  assert.ok(await opens(home, 'x'))
})

test.run()
