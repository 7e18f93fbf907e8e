// A gap of uvu 0.5.6: no time limit, so a handle that stays open hangs for ever after the summary.
// test timeout: 3 s

import { createServer } from 'node:net'

import { test } from 'uvu'

test('passes and leaves a socket open', () => {
  createServer().listen(0, '127.0.0.1')
})

test.run()
