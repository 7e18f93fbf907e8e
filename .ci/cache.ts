// make cache: two people in a temporary place do once what people do most, so that what V8 compiles meanwhile is there
// at the next start (start.cjs). Where that does not work, as without loopback, the commands only start later.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const COMPILE = fileURLToPath(new URL('compile.cjs', import.meta.url))

/** For one thing to be said: without a cache all works as well. */
const PATIENCE_MS = 20_000

const place = mkdtempSync(join(tmpdir(), 'cache-'))

interface Running {
  end: Promise<void>
  stop: () => void
  type: (text: string) => void
  /** Everything on standard output so far contains it. */
  said: (word: string) => Promise<void>
  output: () => string
}

function start(who: string, command: string, ...args: string[]): Running {
  const env = { PATH: process.env['PATH'] ?? '', TERM: 'xterm', P2P_MAP: 'false', P2P_LAN: 'false', P2P_HOME: join(place, who) }
  const chat = command === 'p2p-chat'
  const child = spawn(process.execPath, [COMPILE, ...(chat ? ['--tty'] : []), command, ...args], { env, stdio: [chat ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const end = once(child, 'close').then(([code]) => {
    if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${code}: ${errors}`)
  })
  const said = async (word: string): Promise<void> => {
    const late = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
    while (!output.includes(word)) await Promise.race([once(child.stdout, 'data'), end])
    clearTimeout(late)
  }
  return { end, stop: () => child.kill(), type: (text) => void child.stdin?.write(text), said, output: () => output }
}

/** As in scripts: a message in a file or from a pipe, records into one. */
async function runBetweenFiles(who: string, command: string, ...args: string[]): Promise<void> {
  const line = `"$0" ${JSON.stringify(COMPILE)} ${[command, ...args].join(' ')}`
  const script = `echo hello >${place}/in && ${line} <${place}/in >${place}/out && echo hello | ${line} | cat >/dev/null`
  const env = { PATH: process.env['PATH'] ?? '', P2P_MAP: 'false', P2P_LAN: 'false', P2P_HOME: join(place, who) }
  const [code] = await once(spawn('sh', ['-c', script, process.execPath], { env, stdio: 'ignore' }), 'close')
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${code}`)
}

async function run(who: string, command: string, ...args: string[]): Promise<string> {
  const running = start(who, command, ...args)
  await running.end
  return running.output().trim()
}

async function main(): Promise<void> {
  for (const who of ['alice', 'bob']) await run(who, 'p2p-id', 'init', '--name', who, '--no-passphrase', '--addr', '127.0.0.1')
  await run('alice', 'p2p-id', 'add', 'bob', await run('bob', 'p2p-id', 'token'))
  await run('bob', 'p2p-id', 'add', 'alice', await run('alice', 'p2p-id', 'token'))
  await run('alice', 'p2p-send', 'bob', '--queue-only', '-m', 'first')
  await runBetweenFiles('alice', 'p2p-send', 'bob', '--queue-only')
  await runBetweenFiles('alice', 'p2p-queue', 'list')
  await Promise.all([run('alice', 'p2p-pipe', 'bob'), run('bob', 'p2p-pipe', 'alice')])
  const listener = start('bob', 'p2p-listen')
  await listener.said('listening')
  await run('alice', 'p2p-send', 'bob', '-m', 'second')
  await run('alice', 'p2p-sendmail', 'bob@p2p.invalid')
  await run('alice', 'p2p-queue', 'flush')
  await run('bob', 'p2p-inbox', 'list')
  await runBetweenFiles('bob', 'p2p-inbox', 'list')
  await runBetweenFiles('bob', 'p2p-id', 'token')
  await run('bob', 'p2p-id', 'list')
  await run('bob', 'p2p')
  // A conversation with what there is in one: answers, reactions, a file, more than a line, on both sides.
  await run('alice', 'p2p-send', 'bob', '-m', `long ${'and longer '.repeat(40)}`, '-a', join(place, 'in'))
  await run('bob', 'p2p-send', '--wait', '0', '--reply', '@', '-m', 'an answer\nof two lines \u2713')
  await run('bob', 'p2p-send', '--wait', '0', '--reply', '@', '--react', '+1')
  await run('alice', 'p2p-queue', 'flush')
  await run('alice', 'p2p-send', 'bob', '--reply', '@', '-m', 'and one to it')
  listener.stop()
  await listener.end
  const chat = start('bob', 'p2p-chat', 'alice') // with a listener of its own
  await chat.said('one to it')
  await run('alice', 'p2p-send', 'bob', '--wait', '0', '-m', 'third')
  for (let tries = 0; tries < 50 && !chat.output().includes('third'); tries++) await run('alice', 'p2p-queue', 'flush')
  chat.type('\u0003')
  await chat.end
}

try {
  await main()
  console.log('  dist/code/*.cache')
} catch (error) {
  console.log(`no cache: ${error instanceof Error ? error.message : String(error)}`)
} finally {
  rmSync(place, { recursive: true, force: true })
}
