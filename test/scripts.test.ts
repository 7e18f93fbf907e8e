// Every test/scripts/*.txt, run on the built commands: `make all` first.
// test timeout: 600 s

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { parseScript, runScript } from './script.ts'

const FILES = readdirSync('test/scripts').filter((name) => name.endsWith('.txt'))

// All start at once, a few run at a time; each test waits for its own.
const results = new Map<string, Promise<Error | undefined>>()
let free = Math.max(2, availableParallelism())
const waiting: (() => void)[] = []
async function limited(name: string): Promise<Error | undefined> {
  if (free > 0) free--
  else await new Promise<void>((go) => waiting.push(go))
  try {
    await runScript(join('test/scripts', name))
    return undefined
  } catch (error) {
    return error as Error
  } finally {
    const next = waiting.shift()
    if (next === undefined) free++
    else next()
  }
}
for (const name of FILES) results.set(name, limited(name))

for (const name of FILES) {
  test(`script ${name}`, async () => {
    const error = await results.get(name)
    if (error !== undefined) throw error
  })
}

test('there are scripts', () => {
  assert.ok(FILES.length > 0)
})

test('a script is cut into lines and files', () => {
  const { lines, files } = parseScript(
    '# comment\n\nexec a\n  exit 1  \n-- x/y.txt --\none\n\n-- empty --\n-- z --\n# kept\n',
  )
  assert.equal(lines, [
    { number: 3, text: 'exec a' },
    { number: 4, text: 'exit 1' },
  ])
  assert.equal(
    [...files],
    [
      ['x/y.txt', 'one\n\n'],
      ['empty', ''],
      ['z', '# kept\n'],
    ],
  )
})

const BAD: [string, RegExp][] = [
  ['exec false', /:1: exec false\nexit 1/],
  ['! exec true', /should fail/],
  ['? exec exit 3\nexit 4', /exit 3, not 4/],
  ['exec echo hi\nstdout ^ho$', /stdout does not match[^]*\[stdout\]\nhi/],
  ['exec echo hi\n! stdout hi', /stdout matches/],
  ['exec echo hi\nstderr .', /stderr does not match/],
  ['exec echo hi >a; echo ho >b\ncmp a b', /differ/],
  ['exec echo hi\ncmp stdout f\n-- f --\nho', /differ/],
  ['exists nothing', /does not exist/],
  ['exec touch a\n! exists a', /a exists/],
  ['exec touch a; chmod 644 a\nmode a 0600', /mode 0644/],
  ['stop', /nothing runs/],
  ['exec sleep 60 &\nstop', /ended with SIGTERM/],
  ['exce true', /unknown line/],
]

for (const [text, wrong] of BAD) {
  test(`a bad script fails: ${text.replaceAll('\n', ' | ')}`, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'bad-'))
    try {
      writeFileSync(join(dir, 'bad.txt'), text)
      await runScript(join(dir, 'bad.txt'))
    } catch (error) {
      assert.match((error as Error).message, wrong)
      return
    } finally {
      rmSync(dir, { recursive: true })
    }
    assert.unreachable('it passed')
  })
}

test('a good script passes', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'good-'))
  try {
    writeFileSync(
      join(dir, 'good.txt'),
      `env GREETING=hi $WORK
A=1 exec echo $GREETING $A; pwd
stdout ^hi .*/w 1$
stdout ^/.*/w$
stdin in.txt
exec cat
cmp stdout in.txt
! stderr .
exec cat
! stdout .
? exec exit 7
exit 7
! exec false
exec umask 077; echo secret >s
mode s 0600
exists s in.txt
! exists t
exec ./late.sh &
wait bg1.out ready
stop 3
exec [ "$HOME" = "$WORK" ] && [ -z "$CI$P2P_HOME" ]
-- in.txt --
one
two
-- late.sh --
#!/bin/bash
trap 'exit 3' TERM
sleep 0.3
echo ready
while :; do sleep 0.05; done
`,
    )
    await runScript(join(dir, 'good.txt'))
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test.run()
