// Times as text, against Date, which knows the same calendar.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { isoTime, mailDate } from '../lib/base/utc.ts'

const DAY_MS = 86_400_000

test('times are those of Date from 1970 to 9999, in both forms', () => {
  for (let day = 0; day < 2_932_897; day++) {
    if (day > 60_000 && day % 31 !== 0 && day % 365 > 1) continue
    const ms = day * DAY_MS + ((day * 7_919_123) % DAY_MS)
    assert.is(isoTime(ms), new Date(ms).toISOString())
    assert.is(mailDate(ms), new Date(ms).toUTCString().replace('GMT', '+0000'))
  }
})

test('before 1970, after 9999 and between milliseconds as well; what is no time is none', () => {
  for (const ms of [0, -1, 999, 1.5, 1_795_999_999.9, DAY_MS - 0.1, 253_402_300_799_999, 253_402_300_800_000, -62_200_000_000_000, 8.64e15]) {
    assert.is(isoTime(ms), new Date(ms).toISOString())
    assert.is(mailDate(ms), new Date(ms).toUTCString().replace('GMT', '+0000'))
  }
  for (const ms of [NaN, Infinity, 8.65e15]) assert.throws(() => isoTime(ms), (error: unknown) => error instanceof RangeError)
})

test.run()
