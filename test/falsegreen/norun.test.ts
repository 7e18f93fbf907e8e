// A false green of uvu 0.5.6: without test.run() nothing runs, exit 0.

import { test } from 'uvu'

test('never runs', () => {
  throw new Error('not reached')
})
