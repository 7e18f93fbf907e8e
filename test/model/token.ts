// In the place of lib/wire/token.ts: the same, but that a text which was a token once is not parsed again.

import { parseToken as parse } from '../../lib/wire/token.ts'
import { memo } from './memo.ts'

export * from '../../lib/wire/token.ts'

export const parseToken = memo(parse)
